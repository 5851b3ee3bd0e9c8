// Debian's Chromium on a page of ours, with one of the page's clients: browser.mjs CHROMIUM PAGE CLIENT URL
import { chromium } from 'playwright-core';
import { orders, tell } from './tell.mjs';

const [executablePath, page, client, url] = process.argv.slice(2);
const browser = await chromium.launch({ executablePath, args: ['--disable-dev-shm-usage', '--disable-gpu'] });
orders(() => {});
const tab = await browser.newPage();
tab.on('pageerror', (error) => tell({ error: `page: ${error.message}` }));
await tab.exposeFunction('tell', (told) => tell(told));
await tab.goto(`${page}/page/?${new URLSearchParams({ client, url })}`);
