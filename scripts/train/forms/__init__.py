"""Networks in training form: a published network with what only its losses need. One module per family.

A form calls the network's own parts and leaves its inference phases unchanged.
"""
