"""Networks in training form: a published network with what only its losses need. One module per family.

A form calls the network's own parts; inference knows nothing of it.
"""
