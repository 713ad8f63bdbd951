"""Benchmarks and Data, as a visitor meets them."""

from __future__ import annotations

from playwright.sync_api import expect


def expect_models(page, *names: str) -> None:
    """The rows of the table, from above."""
    rows = page.locator(".scores tbody tr")
    expect(rows).to_have_count(len(names))
    for n, name in enumerate(names):
        expect(rows.nth(n)).to_have_attribute("data-model", name)


def test_scores_sort_filter_and_keep_their_address(at):
    here = at("page=benchmarks")
    page = here.page
    page.wait_for_selector(".scores td")
    expect_models(page, "interpolation", "co2net", "vit")
    expect(page.locator(".scores caption")).to_contain_text("2002")
    expect(page.locator(".scores caption")).to_contain_text("simulated")
    expect(page.locator(".scores td.best").first).to_contain_text("0.50")
    expect(page.locator(".scores td.best").first).to_contain_text("[0.50, 1.50]")
    here.draws("low", "value", [2.0, 1.0, 0.5])
    page.locator('.sort[data-key="ocean"]').click()
    page.wait_for_url("**sort=ocean**")
    page.locator('.sort[data-key="ocean"]').click()
    page.wait_for_url("**order=down**")
    expect(page.locator(".scores tbody tr").first).to_have_attribute("data-model", "vit")
    page.reload()
    expect_models(page, "vit", "co2net", "interpolation")
    here.show("page=benchmarks&places=latitude", ".scores td")
    expect(page.locator(".scores thead")).to_contain_text("0° – 30°N")


def test_margins_cases_and_withheld_stations(at):
    page = at("page=benchmarks&kind=margins").page
    page.wait_for_selector(".scores td")
    expect(page.locator(".scores caption")).to_contain_text("Error above that of Interpolation")
    # Against the best the others are worse, by what the file says of the pair.
    expect_models(page, "co2net", "vit")
    expect(page.locator(".scores td").first).to_contain_text("+0.50")
    expect(page.locator(".scores td").first).to_contain_text("[0.25, 0.75] · 50 %")
    page = at("page=benchmarks&kind=margins&against=co2net").page
    page.wait_for_selector(".scores td")
    expect_models(page, "interpolation")
    expect(page.locator(".scores td").first).to_contain_text("−0.50")
    page = at("page=benchmarks&kind=cases&metric=correlation").page
    page.wait_for_selector(".scores td")
    expect(page.locator(".scores thead")).to_contain_text("A wave")
    expect(page.locator(".scores td.best")).to_have_text("0.900")
    page = at("page=benchmarks&kind=sites&lang=zh").page
    page.wait_for_selector(".scores td")
    expect(page.locator(".scores caption")).to_contain_text("留出站点")
    expect(page.locator(".scores tbody tr").first).to_contain_text("1.75")


def test_provenance_and_the_documents_numbers(at):
    page = at("page=benchmarks&lang=zh&theme=dark").page
    page.wait_for_selector(".scores td")
    page.locator(".about summary").click()
    # What a file says is text, whatever stands in it.
    expect(page.locator(".about")).to_contain_text("<b>small</b>")
    expect(page.locator(".ablations td").nth(0)).to_contain_text("4.25")
    expect(page.locator(".ablations td.document")).to_have_text("5.42")
    expect(page.locator(".ablations")).to_contain_text("另一数据集")


def test_the_store_its_coverage_and_checks(at):
    page = at("page=data").page
    page.wait_for_selector(".card .coverage")
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
    other = at("page=data&dataset=obspack&lang=zh").page
    other.wait_for_selector('[data-entry="obspack"][open]')
    expect(other.locator('[data-entry="obspack"]')).to_contain_text("条款")
