"""Requests for leave, behind three web frameworks: Flask and Django on `SyncEngine`, FastAPI on `Engine`."""
