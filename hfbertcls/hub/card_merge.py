"""Two copies of a card, here and on the Hub, which people may have edited both."""

from pathlib import Path

from hfbertcls.errors import SharingError, listing
from hfbertcls.evaluation.report import Report
from hfbertcls.repository.card import join_card, render_model_card, written_by_people
from hfbertcls.repository.card_metadata import (
    OWNED_KEYS,
    TextClassificationCardData,
    of_people,
    parse_front_matter,
    split_card,
)
from hfbertcls.repository.stated_files import CARD, read_report


def merged_card(
    folder: Path, existing: str, there: Report | None, card_of: str | None, repo_id: str
) -> tuple[str, list[str]]:
    """The generated card with what people wrote into the one here and into that of the Hub, and notes.

    The report on the Hub tells what was generated last time, and so what people changed since.

    Args:
        folder: with report and card.
        existing: the card on the Hub.
        there: the report on the Hub, if it can be read.
        card_of: `"hub"` or `"local"`: what stays where both were edited differently.
        repo_id: of the repository, for messages.

    Raises:
        SharingError: where both were edited differently, and `card_of` is None.
    """
    local, generated = (folder / CARD).read_text(encoding="utf-8-sig"), render_model_card(read_report(folder))
    base = "" if there is None else TextClassificationCardData.from_report(there).to_front_matter()
    rendered, ours, theirs = (split_card(card)[0] for card in (generated, local, existing))
    mine, before = of_people(ours, rendered), parse_front_matter(base)
    if before:  # (what the report here states, and that on the Hub does not)
        anew = {key: value for key, value in parse_front_matter(rendered).items() if before.get(key) != value}
        mine |= {key: value for key, value in anew.items() if key not in (*OWNED_KEYS, "tags")}
    of_others = of_people(theirs, base)
    differing = [key for key, value in mine.items() if key in of_others and of_others[key] != value]
    text_here, text_there = written_by_people(local), written_by_people(existing)
    wrote_here, wrote_there = (any(part.strip() for part in text) for text in (text_here, text_there))
    text_differs = wrote_here and wrote_there and text_here != text_there
    if card_of is None and (differing or text_differs):
        what = f"values of {listing(differing)}" if differing else "text"
        raise SharingError(
            f"people wrote different {what} into README.md here and into the card of {repo_id}. Choose which one stays: "
            "--card hub or --card local"
        )
    if card_of == "hub":
        mine = {key: value for key, value in mine.items() if key not in differing}
    text_of = local if card_of == "local" or not wrote_there else existing
    return join_card(
        generated, existing, text_of, base=base, mine={**mine, "tags": parse_front_matter(ours).get("tags")}
    )
