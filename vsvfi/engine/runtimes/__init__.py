"""How the phases of a network are run: `runtime=`.

A runtime is a folder `vsvfi/engine/runtimes/NAME` with a module `runtime` that defines `RUNTIME`, an instance of
`interface.Runtime`; nothing else lists runtimes, and the folder's name is what users write. `binding.bind` replaces the
phases of a network by callables of a runtime, so that no caller knows which one it has.
"""
