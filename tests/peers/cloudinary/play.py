"""Calls Cloudinary's own SDK as told on the input, in a process of its own: its settings are of the whole process."""

import json
import sys
from typing import Any

import cloudinary.api
import cloudinary.uploader
import cloudinary.utils

CALLS: dict[str, Any] = {
    "upload": cloudinary.uploader.upload,
    "upload_large": cloudinary.uploader.upload_large,
    "destroy": cloudinary.uploader.destroy,
    "resources": cloudinary.api.resources,
    "private_download_url": cloudinary.utils.private_download_url,
    "cloudinary_url": lambda *words, **options: cloudinary.utils.cloudinary_url(*words, **options)[0],
    "verify": cloudinary.utils.verify_api_response_signature,
}


def _called(name: str, words: list[Any], options: dict[str, Any]) -> Any:
    try:
        return CALLS[name](*words, **options)
    except cloudinary.exceptions.Error as error:
        return {"raised": type(error).__name__, "words": str(error)}


def _main() -> None:
    told = json.load(sys.stdin)
    cloudinary.config(**told["config"])
    json.dump([_called(*call) for call in told["calls"]], sys.stdout)


_main()
