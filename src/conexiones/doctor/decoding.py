"""A program, run in a process of its own, that prints the version of libvips and the formats that are decoded
here."""

import io
import sys

from conexiones.samples import samples


def main() -> None:
    import pi_heif
    import pyvips
    from PIL import Image

    print(".".join(str(pyvips.version(part)) for part in range(3)))  # noqa: T201 (what this program is for)
    for format in sorted({sample.format for sample in samples()}):
        try:
            for sample in samples():
                if sample.format != format:
                    continue
                # What libvips does not load is decoded as in the server.
                if format == "BMP":
                    Image.open(io.BytesIO(sample.data)).load()
                elif format == "HEIF":
                    pi_heif.read_heif(io.BytesIO(sample.data))
                else:
                    pyvips.Image.new_from_buffer(sample.data, "").avg()
        except (pyvips.Error, OSError, ValueError, RuntimeError, SyntaxError) as error:
            sys.stderr.write(f"{format}: {error}\n")
        else:
            print(format)  # noqa: T201


if __name__ == "__main__":
    main()
