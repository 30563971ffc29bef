"""The client: start, signal, query, cancel, result, list, watch; asynchronous, and for synchronous programs."""
