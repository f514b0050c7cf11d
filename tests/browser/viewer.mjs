// The viewer of cited documents: beside the conversation on a wide screen and over it on a phone, with the passage marked.
import { APP, deleteAccount, ensure, file, run, workspaceWith } from './lib.mjs';

const S3_ORIGIN = new URL(process.env.S3_URL).origin;
const QUESTION = 'How often must the pump filter be changed?';
/** Of the scripts, styles and fonts of a conversation, before a document is opened. */
const MAX_FILE_BYTES = 100_000;
const PHONE = { width: 390, height: 844 };
const WIDE = { width: 1440, height: 900 };
const PAGES = [
  'This manual describes the circulation pump.\nIt is kept beside the pump.',
  'Maintenance\nThe pump filter must be\nchanged every 500 hours of ope-\nration and after each flood of the basement.\nUse original parts only.',
  'Storage\nDrain the housing before the winter.',
];

await run(async ({ findings, newUser }) => {
  const ada = await newUser('ada-in-viewer');
  const { context, page } = ada;
  const workspace = await workspaceWith(ada, [
    file('manual', ...PAGES),
    file('notes', 'The pump filter must be changed by a technician after 500 hours.'),
  ]);
  await page.setViewportSize(WIDE);
  await page.goto(`${APP}/w/${workspace}/chat`);
  await page.fill('#question', QUESTION);
  await page.keyboard.press('Enter');
  const answer = page.locator('article.answer:not(.pending)').last();
  await answer.waitFor();

  // --- Nothing of it is loaded before it is opened ---
  const requests = [];
  context.on('request', (request) => requests.push(new URL(request.url())));
  await page.reload({ waitUntil: 'networkidle' });
  const loaded = await page.evaluate(() => {
    const bytes = (type) => performance.getEntriesByType(type).reduce((sum, { encodedBodySize }) => sum + encodedBodySize, 0);
    return { files: bytes('resource'), html: bytes('navigation') };
  });
  ensure(loaded.files > 10_000 && loaded.files <= MAX_FILE_BYTES, `the files of the page have ${loaded.files} bytes`);
  ensure(!requests.some(({ pathname }) => /pdf|viewer/.test(pathname)), 'the viewer is loaded with the page');

  // --- Beside the conversation, at the passage ---
  const citation = answer.locator('a.ref').first();
  const sources = answer.locator('[data-source]');
  const cited = await sources.evaluateAll((items) => items.map(({ dataset }) => ({ ...dataset })));
  // If the viewer cannot be loaded, the file opens in another tab, and the next click tries again.
  await page.route(/viewer.*\.css/, (route) => route.abort(), { times: 1 });
  const [tab] = await Promise.all([context.waitForEvent('page'), citation.click()]);
  await tab.close();
  await citation.click();
  const viewer = page.locator('#viewer');
  const marks = page.locator('.viewer-marks div');
  await marks.first().waitFor();
  ensure(context.pages().length === 1, 'the citation opened another tab');
  const { title, page: number } = cited.find(({ source }) => source === '1');
  ensure((await page.locator('#viewer-title').innerText()) === title, 'the title is missing');
  ensure((await page.inputValue('#viewer-page')) === number, 'another page is shown');
  const boxes = async () => [await page.locator('.conversation').boundingBox(), await viewer.boundingBox()];
  const [conversation, panel] = await boxes();
  ensure(conversation.x + conversation.width <= panel.x + 1, 'the viewer covers the conversation');
  ensure(panel.height >= WIDE.height - 1, `the viewer is ${panel.height} px high`);
  ensure(await page.locator('#question').isVisible(), 'the question field is hidden');
  // The text below the marks.
  const markedText = () => page.evaluate(() => {
    const marked = [...document.querySelectorAll('.viewer-marks div')].map((mark) => mark.getBoundingClientRect());
    const spans = [...document.querySelectorAll('.textLayer span')];
    const isMarked = ({ left, right, top, bottom }) => marked.some((mark) => (
      mark.left < right - 2 && mark.right > left + 2 && mark.top < bottom - 4 && mark.bottom > top + 4));
    return spans.filter((span) => isMarked(span.getBoundingClientRect())).map((span) => span.textContent).join(' ');
  });
  const text = await markedText();
  ensure(/500 hours/.test(text), `marked: ${text}`);
  // The picture of the page has ink.
  const ink = await page.locator('.viewer-page canvas').first().evaluate((canvas) => (
    canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.filter((value, index) => index % 4 === 0 && value < 128).length));
  ensure(ink > 50, 'the page is empty');
  await page.screenshot({ path: `${process.env.SCREENSHOTS}/viewer-beside.png` });
  await ada.shoot('viewer');
  await page.setViewportSize(WIDE);

  // --- The other sources ---
  ensure(cited.length === 2, `${cited.length} sources`);
  await page.locator('#viewer-next').click();
  await page.waitForFunction((before) => document.getElementById('viewer-title').textContent !== before, title);
  await marks.first().waitFor();
  ensure(await page.locator('#viewer-next').isDisabled(), 'there is another source');
  await page.locator('#viewer-previous').click();
  await page.waitForFunction((before) => document.getElementById('viewer-title').textContent === before, title);
  await marks.first().waitFor();

  // --- Search, zoom, a page by its number, download ---
  while ((await page.locator('#viewer-title').innerText()) !== 'manual') await page.locator('#viewer-next').click();
  await marks.first().waitFor();
  ensure(/changed every 500 hours of ope- ration and after each flood/.test(await markedText()), `marked: ${await markedText()}`);
  await page.fill('#viewer-term', 'before the WINTER');
  await page.keyboard.press('Enter');
  await page.getByText('Match 1 of 1 on page 3').waitFor();
  ensure(/before the winter/.test(await markedText()), `marked: ${await markedText()}`);
  await context.setOffline(true);
  await page.fill('#viewer-term', 'original parts');
  await page.getByRole('button', { name: 'Next match' }).click();
  await page.getByText('Match 1 of 1 on page 2').waitFor();
  await context.setOffline(false);
  await page.fill('#viewer-term', 'no such word');
  await page.keyboard.press('Enter');
  await page.getByText('Not found in this document.').waitFor();
  const width = () => page.locator('.viewer-page').first().evaluate((it) => it.offsetWidth);
  const before = await width();
  await page.getByRole('button', { name: 'Zoom in' }).click();
  ensure((await width()) > before * 1.2, 'the page has the same size');
  await page.getByRole('button', { name: 'Zoom out' }).click();
  await page.fill('#viewer-page', '1');
  await page.keyboard.press('Enter');
  await page.waitForFunction(() => document.getElementById('viewer-pages').scrollTop < 50);
  const href = await page.locator('#viewer-download').getAttribute('href');
  ensure(/\/documents\/[0-9a-f-]+\/download$/.test(href), `the download is ${href}`);

  // --- Each request gets a new URL of the store ---
  const redirects = requests.filter(({ pathname }) => pathname.endsWith('/file')).length;
  ensure(redirects > 0 && requests.some(({ origin }) => origin === S3_ORIGIN), 'the file was not requested from the app');
  await page.locator('#viewer-pages').focus();
  await page.keyboard.press('Escape');
  await viewer.waitFor({ state: 'hidden' });
  ensure(await citation.evaluate((link) => link === document.activeElement), 'the focus did not return to the citation');
  await citation.click();
  await marks.first().waitFor();
  ensure(requests.filter(({ pathname }) => pathname.endsWith('/file')).length > redirects, 'an old URL was used');
  await page.locator('#viewer-close').click();

  // --- Over the conversation on a phone ---
  await page.setViewportSize(PHONE);
  await answer.locator('[data-source] summary').first().click();
  await answer.locator('[data-source] a[data-citation]').first().click();
  await marks.first().waitFor();
  const [, sheet] = await boxes();
  ensure(sheet.x === 0 && sheet.width === PHONE.width && sheet.height >= PHONE.height, `the viewer has ${JSON.stringify(sheet)}`);
  ensure(await viewer.evaluate((dialog) => dialog.matches(':modal')), 'the conversation is not covered');
  await page.screenshot({ path: `${process.env.SCREENSHOTS}/viewer-phone.png` });
  // Turning the phone shows it beside the conversation.
  await page.setViewportSize(WIDE);
  await page.waitForFunction(() => !document.getElementById('viewer').matches(':modal'));
  await marks.first().waitFor();
  await page.locator('#viewer-close').click();

  // --- A session that has ended, and a document that was deleted ---
  const cookies = await context.cookies();
  await context.clearCookies();
  await citation.click();
  await page.getByText('You\u2019re signed out').waitFor();
  await page.screenshot({ path: `${process.env.SCREENSHOTS}/viewer-signed-out.png` });
  await page.locator('#viewer-close').click();
  await context.addCookies(cookies);
  await citation.click();
  await marks.first().waitFor();
  await page.locator('#viewer-close').click();

  // --- A browser without scripts opens the file ---
  const plain = await context.browser().newContext({ javaScriptEnabled: false, storageState: await context.storageState() });
  const static_ = await plain.newPage();
  await static_.goto(page.url());
  const link = static_.locator('article.answer a.ref').first();
  const target = await plain.request.get(APP + (await link.getAttribute('href')));
  ensure(target.ok() && /application\/pdf/.test(target.headers()['content-type']), `the link returns ${target.status()}`);
  await plain.close();
  for (let at = findings.length - 1; at >= 0; at -= 1) {
    // pdf.js reports a refused request to the console.
    if (/viewer|pdf/.test(findings[at]) && /401/.test(findings[at])) findings.splice(at, 1);
  }
  await deleteAccount(page);
  return { loaded, sources: cited.length };
});
