"""The answer to OPTIONS."""

from typing import TYPE_CHECKING

from rest_framework.metadata import BaseMetadata
from rest_framework.request import Request

if TYPE_CHECKING:
    from rest_framework.views import APIView  # the settings make APIView import this file


class AllowedMethods(BaseMetadata):
    """No body: the Allow header lists the methods, and the OpenAPI document describes them."""

    def determine_metadata(self, request: Request, view: "APIView") -> None:
        """Return None, so that the response has no body."""
