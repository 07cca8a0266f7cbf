"""Words in scripts with and without blanks between them; and nothing changes for the others."""

import re

import pytest

from hfbertcls.data.words import analyzer_of, word_pattern


THAI = ["อาหารอร่อยมาก บริการดี ราคาไม่แพง", "ห้องสกปรกมาก ไม่แนะนำเลย พนักงานพูดจาไม่ดี"]
AMHARIC = ["ምግቡ በጣም ጥሩ ነበር", "አገልግሎቱ በጣም መጥፎ ነበር"]
CHINESE = ["房间很干净、服务员也很热情。", "早餐太差了、下次不会再来。"]
ARABIC = ["كان الطعام رائعا والخدمة ممتازة", "كانت الغرفة قذرة جدا"]
HINDI = ["यह फिल्म बहुत अच्छी है", "यह फिल्म बहुत खराब है"]


@pytest.mark.parametrize(
    ("texts", "analyzer"),
    [
        pytest.param(["a good film", "a bad film"], "word", id="English"),
        pytest.param(["été déjà vu, très bien", "à bientôt"], "word", id="French"),
        pytest.param(["это очень хороший фильм", "было скучно"], "word", id="Russian"),
        pytest.param(["이 영화는 정말 재미있어요"], "word", id="Korean"),
        pytest.param(["love it ❤️ so much", "nice"], "word", id="emoji with variation selectors"),
        pytest.param(AMHARIC, "word", id="Amharic"),
        pytest.param(ARABIC, "word", id="Arabic"),
        pytest.param(["كِتَابٌ جَمِيلٌ جِدًّا"], "unicode_word", id="Arabic with vowels"),
        pytest.param(HINDI, "unicode_word", id="Hindi"),
        pytest.param(["a good film"] * 8 + CHINESE, "unicode_word", id="English and Chinese"),
        pytest.param(CHINESE, "char", id="Chinese"),
        pytest.param(["这 部 电影 非常 好看"], "word", id="Chinese that was divided into words"),
        pytest.param(THAI, "char", id="Thai, with blanks between sentences"),
        pytest.param(["", "! ! !"], "char", id="no letters"),
    ],
)
def test_the_letters_decide_between_words_and_characters(texts, analyzer):
    assert analyzer_of(texts) == analyzer
    assert (word_pattern(analyzer) is None) == (analyzer == "char")


@pytest.mark.parametrize("text", ["A good film, isn't it? 3x", "été déjà_vu", *AMHARIC, *ARABIC])
def test_both_patterns_find_the_same_words_where_letters_have_no_marks(text):
    assert re.findall(word_pattern("unicode_word"), text) == re.findall(word_pattern("word"), text)


def test_marks_stay_with_their_letters_and_signs_stand_alone():
    words = re.findall(word_pattern("unicode_word"), f"{HINDI[0]} très bien 电影 ดี")
    assert words == [*HINDI[0].split(), "très", "bien", "电", "影", "ดี"]
