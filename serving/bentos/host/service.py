"""The algorithm host: many versions of many algorithms, swapped without a dropped request."""

from serving.service import make_service

Host = make_service()
