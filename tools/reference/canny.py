"""cv2.Canny (opencv-python-headless) of tests/data/images/photo.png -> tests/data/diffusion/canny.safetensors.

KEY is rgb or grey, low, high and L1 or L2, joined by dots.
"""

import pathlib

import cv2
import numpy
from safetensors.numpy import save_file

DATA = pathlib.Path(__file__).resolve().parents[2] / "tests" / "data"


def main():
    bgr = cv2.imread(str(DATA / "images" / "photo.png"))
    rgb = numpy.ascontiguousarray(bgr[:, :, ::-1])
    grey = rgb[:, :, 1].copy()
    smooth = cv2.resize(rgb, (90, 70), interpolation=cv2.INTER_CUBIC)
    tensors = {"smooth.picture": smooth}
    for name, picture in (("rgb", rgb), ("green", grey), ("smooth", smooth)):
        for low, high in ((100, 200), (30, 60), (50, 400), (0, 0)):
            for l2 in (False, True):
                edges = cv2.Canny(picture, low, high, L2gradient=l2)
                tensors[f"{name}.{low}.{high}.{'L2' if l2 else 'L1'}"] = edges
    save_file(tensors, DATA / "diffusion" / "canny.safetensors")
    print({k: int((v > 0).sum()) for k, v in tensors.items()})


if __name__ == "__main__":
    main()
