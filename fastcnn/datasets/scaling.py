"""Images that are pixels already, in another size, or with and without colours."""

import numpy as np
from PIL import Image


def bring(images: np.ndarray, size: tuple[int, int] | None, grey: bool) -> np.ndarray:
    """Images (N, C, H, W) that are pixels already, in the size and colours asked for."""
    if grey and images.shape[1] == 3:
        red, green, blue = (images[:, i].astype(np.uint32) for i in range(3))
        # ITU-R 601-2, in the whole numbers of Pillow's convert("L").
        luma = (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16
        images = luma.astype(np.uint8)[:, None]
    if size is None or images.shape[2:] == size:
        return images
    scaled = np.empty((*images.shape[:2], *size), np.uint8)
    for image, out in zip(images, scaled, strict=True):
        for plane, plane_out in zip(image, out, strict=True):
            picture = Image.fromarray(plane)
            plane_out[...] = picture.resize((size[1], size[0]), Image.Resampling.BILINEAR)
    return scaled
