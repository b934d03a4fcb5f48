"""Published corpora of filters: the HDF5 layout of CNN Filter DB, read without running anything of the file.

``frame`` reads the pandas frame ``meta`` (its object blocks by ``object_blocks``), ``layout`` finds and checks the
parts of a file, ``ranges`` the rows that each layer has, ``models`` makes models of the rows and ``corrections``
corrects what is known to be wrong. What an actor does with one model is ``distributed.importing``.
"""
