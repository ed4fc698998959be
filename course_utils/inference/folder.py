"""A folder of photographs through a detector: a table, pictures and a page, in constant memory."""

import csv
import hashlib
import io
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from tqdm import tqdm

from course_utils.data.image_files import encode_image, resize_image
from course_utils.inference.detector import Detector, Prediction, find_regions, mark
from course_utils.inference.photographs import Photograph
from course_utils.io import lock_folder, write_atomic

ANSWERS, RUN, LOCK = "answers.jsonl", "run.json", ".predicting.lock"
THUMBNAIL = 320
TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Row:
    """The answer to one photograph, as it stands in `scores.csv`."""

    file: str
    """Path from the folder of the photographs."""
    decision: str
    """defective, good, or unreadable."""
    score: float | None
    threshold: float
    regions: int
    """Connected regions of the mask."""
    marked: float
    """Share of the photograph that the mask covers."""
    reason: str
    """Why it could not be read."""


def predict_folder(
    detector: Detector,
    photographs: Sequence[Path],
    out: str | Path,
    *,
    root: str | Path,
    batch_size: int = 8,
    progress: bool = False,
) -> list[Row]:
    """Answer for each photograph, and write what was found into `out`; return the rows.

    - `scores.csv`: a row for each photograph, the highest score first, unreadable ones on top.
    - `index.html`: the same with pictures; it opens without a server.
    - `overlays/`: those that are defective, at their own size, with what was found.
    - `thumbnails/`: what the page shows.

    Stopped at any moment, it goes on when it is called again with the same detector; a photograph
    that has changed since is done anew. Files that cannot be read get a row that says why.

    Args:
        detector: what answers.
        photographs: files.
        out: a new or empty folder, or that of the same task.
        root: folder that holds them all, from which their names are told.
        batch_size: photographs at a time.
        progress: whether to show a progress bar.

    Raises:
        FileExistsError: if `out` holds anything else, or the answers of another detector.
        ValueError: if `out` lies within `root`, or a photograph outside of it.
    """
    out, root = Path(out), Path(root)
    if out.absolute().is_relative_to(root.absolute()):
        raise ValueError(
            f"{out} lies in {root}, among the photographs: choose a folder outside of it (--out)"
        )
    check_out(out, detector, root)
    with lock_folder(out, LOCK, "wait for its end, or choose another folder (--out)"):
        check_out(out, detector, root)
        if not (out / RUN).exists():
            write_atomic(out / RUN, json.dumps(_task(detector, root)) + "\n")
        stamps = {_name(path, root): _stamp(path) for path in photographs}
        done = {
            name: row
            for name, (stamp, row) in _read_answers(out / ANSWERS).items()
            if stamps.get(name) == stamp
        }
        left = [path for path in photographs if _name(path, root) not in done]
        # What a stop has cut short goes, or the next line would be written behind it.
        write_atomic(out / ANSWERS, "".join(_line(stamps, row) for row in done.values()))
        bar = tqdm(total=len(photographs), initial=len(done), disable=not progress, unit="image")
        with bar, (out / ANSWERS).open("a", encoding="utf-8") as answers:

            def keep(row: Row) -> None:
                done[row.file] = row
                answers.write(_line(stamps, row))
                answers.flush()
                bar.update()

            def unreadable(photograph: Photograph, error: Exception) -> None:
                limit = detector.settings.threshold.value
                name = _name(Path(str(photograph)), root)
                keep(Row(name, "unreadable", None, limit, 0, 0.0, str(error)))

            for prediction in detector.predict_each(
                left, batch_size=batch_size, on_error=unreadable
            ):
                name = _name(Path(prediction.name), root)
                mask = prediction.mask
                _write_pictures(out, name, prediction, mask)
                keep(_row(name, prediction, mask))
        rows = sorted((done[name] for name in stamps), key=_unreadable_then_worst)
        write_atomic(out / "scores.csv", _as_csv(rows))
        write_atomic(out / "index.html", _as_page(rows, detector, root))
    return rows


def check_out(out: Path, detector: Detector, root: Path) -> None:
    """Raise `FileExistsError` unless `out` is free or holds answers to this very task.

    Example:
        >>> check_out(Path("nowhere"), None, Path("photographs"))
    """
    if out.is_file():
        raise FileExistsError(f"{out} is a file: choose another folder (--out)")
    if not out.exists():
        return
    if not (out / RUN).exists():
        others = [path.name for path in out.iterdir() if path.name != LOCK]
        if others:
            raise FileExistsError(
                f"{out} holds {sorted(others)[0]} and no answers of a detector: choose an empty or "
                "new folder (--out)"
            )
        return
    found = json.loads((out / RUN).read_text(encoding="utf-8"))
    for what, wanted in _task(detector, root).items():
        if found.get(what) != wanted:
            other = "of another detector" if what == "detector" else f"for {found.get(what)}"
            raise FileExistsError(
                f"{out} holds the answers {other}: choose another folder (--out), or delete that "
                "one"
            )


def _task(detector: Detector, root: Path) -> dict[str, str]:
    return {"detector": fingerprint(detector), "photographs": str(root.absolute())}


def fingerprint(detector: Detector) -> str:
    """Return a digest of all that decides the answers of a detector."""
    digest = hashlib.blake2b(detector.settings.model_dump_json().encode(), digest_size=16)
    for name, tensor in detector.network.state_dict().items():
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(tensor.cpu().numpy()).tobytes())
    return digest.hexdigest()


def _unreadable_then_worst(row: Row) -> tuple[bool, float]:
    return row.score is not None, -(row.score or 0)


def _row(name: str, prediction: Prediction, mask: np.ndarray) -> Row:
    return Row(
        file=name,
        decision="defective" if prediction.is_defective else "good",
        score=prediction.score,
        threshold=prediction.threshold,
        regions=len(find_regions(mask, prediction.class_names)),
        marked=round(float((mask > 0).mean()), 6),
        reason="",
    )


def _write_pictures(out: Path, name: str, prediction: Prediction, mask: np.ndarray) -> None:
    marked = mark(prediction.image, mask)
    height, width = mask.shape
    scale = min(1.0, THUMBNAIL / max(height, width))
    size = max(1, round(height * scale)), max(1, round(width * scale))
    pictures = {
        f"thumbnails/{name}.jpg": resize_image(prediction.image, size),
        f"thumbnails/{name}.found.jpg": resize_image(marked, size),
    }
    if prediction.is_defective:
        pictures[f"overlays/{name}.jpg"] = marked
    else:  # of a photograph that has changed
        (out / f"overlays/{name}.jpg").unlink(missing_ok=True)
    for path, pixels in pictures.items():
        (out / path).parent.mkdir(parents=True, exist_ok=True)
        write_atomic(out / path, encode_image(pixels, ".jpg"))


def _name(path: Path, root: Path) -> str:
    name = path.absolute().relative_to(root.absolute()).as_posix()
    return os.fsencode(name).decode("utf-8", "replace")


def _stamp(path: Path) -> list[int]:
    state = path.stat()
    return [state.st_mtime_ns, state.st_size]


def _line(stamps: Mapping[str, list[int]], row: Row) -> str:
    return json.dumps({"stamp": stamps[row.file], "row": asdict(row)}) + "\n"


def _read_answers(file: Path) -> dict[str, tuple[list[int], Row]]:
    """Return the rows of a task that was stopped; its last line may be cut short."""
    found = {}
    for line in file.read_text(encoding="utf-8").splitlines() if file.exists() else []:
        try:
            entry: dict[str, Any] = json.loads(line)
        except ValueError:
            continue
        row = Row(**entry["row"])
        found[row.file] = entry["stamp"], row
    return found


def _as_csv(rows: Sequence[Row]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in fields(Row)], lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow(asdict(row))
    return text.getvalue()


def _as_page(rows: Sequence[Row], detector: Detector, root: Path) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    kinds = ("defective", "good", "unreadable")
    return environment.get_template("answers.html.j2").render(
        rows=rows,
        counts={kind: sum(row.decision == kind for row in rows) for kind in kinds},
        settings=detector.settings,
        folder=root.name,
    )
