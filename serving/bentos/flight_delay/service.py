"""Flight delays, one bundle alone."""

from serving.service import make_service

FlightDelay = make_service("flight_delay")
