"""Benchmarks and Data, as a visitor meets them."""

from __future__ import annotations

from playwright.sync_api import expect


def models(page) -> list[str]:
    return [row.get_attribute("data-model") for row in page.locator(".scores tbody tr").all()]


def test_scores_sort_filter_and_keep_their_address(visit):
    here = visit()
    page = here.reach("page=benchmarks", ".scores td")
    assert models(page) == ["interpolation", "co2net", "vit"]
    expect(page.locator(".scores caption")).to_contain_text("2002")
    expect(page.locator(".scores caption")).to_contain_text("simulated")
    expect(page.locator(".scores td.best").first).to_contain_text("0.50")
    expect(page.locator(".scores td.best").first).to_contain_text("[0.50, 1.50]")
    drawn = here.drawn("low")
    assert sorted(drawn["value"]) == [0.5, 1.0, 2.0]
    page.locator('.sort[data-key="ocean"]').click()
    page.wait_for_url("**sort=ocean**")
    page.locator('.sort[data-key="ocean"]').click()
    page.wait_for_url("**order=down**")
    expect(page.locator(".scores tbody tr").first).to_have_attribute("data-model", "vit")
    page.reload()
    page.wait_for_selector(".scores td")
    assert models(page) == ["vit", "co2net", "interpolation"]
    page = here.reach("page=benchmarks&places=latitude", ".scores td")
    expect(page.locator(".scores thead")).to_contain_text("0° – 30°N")


def test_margins_cases_and_withheld_stations(visit):
    page = visit().reach("page=benchmarks&kind=margins", ".scores td")
    expect(page.locator(".scores caption")).to_contain_text("Error above that of Interpolation")
    # Against the best the others are worse, by what the file says of the pair.
    assert models(page) == ["co2net", "vit"]
    expect(page.locator(".scores td").first).to_contain_text("+0.50")
    expect(page.locator(".scores td").first).to_contain_text("[0.25, 0.75] · 50 %")
    page = visit().reach("page=benchmarks&kind=margins&against=co2net", ".scores td")
    assert models(page) == ["interpolation"]
    expect(page.locator(".scores td").first).to_contain_text("−0.50")
    page = visit().reach("page=benchmarks&kind=cases&metric=correlation", ".scores td")
    expect(page.locator(".scores thead")).to_contain_text("A wave")
    expect(page.locator(".scores td.best")).to_have_text("0.900")
    page = visit().reach("page=benchmarks&kind=sites&lang=zh", ".scores td")
    expect(page.locator(".scores caption")).to_contain_text("留出站点")
    expect(page.locator(".scores tbody tr").first).to_contain_text("1.75")


def test_provenance_and_the_documents_numbers(visit):
    page = visit().reach("page=benchmarks&lang=zh&theme=dark", ".scores td")
    page.locator(".about summary").click()
    # What a file says is text, whatever stands in it.
    expect(page.locator(".about")).to_contain_text("<b>small</b>")
    expect(page.locator(".ablations td").nth(0)).to_contain_text("4.25")
    expect(page.locator(".ablations td.document")).to_have_text("5.42")
    expect(page.locator(".ablations")).to_contain_text("另一数据集")


def test_the_store_its_coverage_and_checks(visit):
    page = visit().reach("page=data", ".card .coverage")
    card = page.locator(".stores .card").first
    expect(card).to_contain_text("synthetic test world")
    expect(card.locator(".badge.simulated")).to_be_visible()
    expect(card.locator(".month.whole[title]")).to_have_count(1)
    expect(card.locator(".month.none[title]")).to_have_count(1)
    card.locator(".check").click()
    # The check is that of `co2net data verify`: it finds the gap that the empty month is.
    expect(card.locator(".result.sound, .result.faulty")).to_be_visible(timeout=120_000)
    expect(card.locator(".checks")).to_contain_text("248 of 248 frames read")
    card.locator(".checks summary").click()
    expect(card.locator(".checks tbody td").first).to_have_text("2002")
    page.locator('[data-entry="carbontracker"] summary').first.click()
    page.wait_for_url("**dataset=carbontracker**")
    expect(page.locator('[data-entry="carbontracker"] code').first).to_contain_text("co2net data")
    other = visit().reach("page=data&dataset=obspack&lang=zh", '[data-entry="obspack"][open]')
    expect(other.locator('[data-entry="obspack"]')).to_contain_text("条款")
