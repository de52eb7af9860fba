"""The model: backbone, adapters, compressor, reasoner, selection, generator."""
