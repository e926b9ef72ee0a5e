"""Models on disk and on the Hub: names, folders, the cache, downloads, uploads."""
