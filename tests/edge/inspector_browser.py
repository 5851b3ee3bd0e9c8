"""The inspector's page in a browser, and what tests say to it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.security import browser as chromium
from tests.security.browser import Browser, Page

from .inspector_world import Inspector

PROGRAM = chromium.command()
needs_browser = pytest.mark.skipif(PROGRAM is None, reason="there is no Chromium here")
FRAME_LIMIT_MS = 250

SCRIPT = """
window.until = (met, within = 10000) => new Promise((done, failed) => {
  const began = performance.now();
  const look = () => {
    const found = met();
    if (found) done(found);
    else if (performance.now() - began > within) failed(new Error('in vain: ' + met + '\\n' + document.body.innerText));
    else setTimeout(look, 5);
  };
  look();
});
window.rows = () => [...document.querySelectorAll('.row')].filter(row => !row.hidden)
  .sort((one, other) => parseFloat(one.style.top) - parseFloat(other.style.top));
window.key = key => document.dispatchEvent(new KeyboardEvent('keydown', {key, bubbles: true}));
window.violations = [];
document.addEventListener('securitypolicyviolation', event => violations.push(event.violatedDirective));
0
"""
LABEL = "document.querySelector('.timeline').getAttribute('aria-label')"
LIVE = "until(() => document.getElementById('state').textContent === 'live')"


@pytest.fixture
async def browser(left_behind: None, tmp_path: Path) -> AsyncIterator[Browser]:
    assert PROGRAM is not None
    async with chromium.running(PROGRAM, tmp_path / "profile") as running:
        yield running


async def opened(browser: Browser, it: Inspector, fragment: str = "") -> Page:
    """The page, once it hears of exchanges."""
    page = await browser.page("about:blank")
    await page.send("Emulation.setDeviceMetricsOverride", width=1280, height=800, deviceScaleFactor=1, mobile=False)
    await page.go(f"{it.admin}/{fragment}")
    await page.run(SCRIPT)
    await page.run(LIVE)
    return page
