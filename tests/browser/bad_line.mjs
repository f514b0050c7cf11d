// Somebody on a bad line: uploads that break off, are refused and go on; and what the pages' scripts promise besides: a theme that is
// remembered, menus and dialogs that a keyboard reaches, removals that want the right words.
import { APP, ensure, tell, WAIT_MS, workspaceOf } from './lib.mjs';

const S3_ORIGIN = new URL(process.env.S3_URL).origin;
const FILES_AT_ONCE = 3;
const CORS = { 'access-control-allow-origin': APP };

/** A PDF of one page with these words on it. */
function pdf(words) {
  const content = `BT /F1 12 Tf 72 720 Td (${words}) Tj ET`;
  const objects = [
    '<< /Type /Catalog /Pages 2 0 R >>',
    '<< /Type /Pages /Kids [3 0 R] /Count 1 >>',
    '<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>',
    `<< /Length ${content.length} >>\nstream\n${content}\nendstream`,
    '<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>',
  ];
  let text = '%PDF-1.4\n';
  const offsets = objects.map((object, index) => {
    const offset = text.length;
    text += `${index + 1} 0 obj\n${object}\nendobj\n`;
    return offset;
  });
  const xref = text.length;
  text += `xref\n0 ${objects.length + 1}\n0000000000 65535 f \n`;
  text += offsets.map((offset) => `${String(offset).padStart(10, '0')} 00000 n \n`).join('');
  text += `trailer\n<< /Size ${objects.length + 1} /Root 1 0 R >>\nstartxref\n${xref}\n%%EOF\n`;
  return Buffer.from(text, 'latin1');
}

const file = (name, words) => ({ name: `${name}.pdf`, mimeType: 'application/pdf', buffer: pdf(words) });

await tell(async ({ person }) => {
  const grace = await person('grace');
  const { page } = grace;
  await grace.signIn();
  const workspace = workspaceOf(page);
  await page.goto(`${APP}/w/${workspace}/provisioning`);
  await page.getByRole('heading', { name: 'Your database is ready' }).waitFor();
  await page.goto(`${APP}/w/${workspace}/documents`);

  // --- The first PUT of each file goes wrong in its own way ---
  const troubles = new Map([
    ['cut off', (route) => route.abort('connectionreset')],
    ['store away', (route) => route.fulfill({ status: 503, headers: CORS })],
    ['address too old', (route) => route.fulfill({ status: 403, headers: CORS })],
  ]);
  const names = [...troubles.keys(), 'nothing wrong', 'one more'];
  const bySize = new Map();
  const files = names.map((name, index) => {
    const made = file(name, `The word of ${name} is heliograph ${'.'.repeat(index)}`);
    bySize.set(String(made.buffer.length), name);
    return made;
  });
  ensure(bySize.size === names.length, 'files are told apart by their sizes');
  const puts = new Map();
  let under = 0;
  let most = 0;
  // The first of them wait for each other: so many are sent at once, and no more.
  let open;
  const together = new Promise((resolve) => { open = resolve; });
  await page.route(`${S3_ORIGIN}/**`, async (route) => {
    const request = route.request();
    if (request.method() !== 'PUT') return route.continue();
    const name = bySize.get(String(request.postDataBuffer()?.length));
    puts.set(name, (puts.get(name) ?? 0) + 1);
    under += 1;
    most = Math.max(most, under);
    if (under === FILES_AT_ONCE) open();
    await together;
    if (puts.get(name) === 1 && troubles.has(name)) await troubles.get(name)(route);
    else await route.continue();
  });
  const over = (request) => { if (request.method() === 'PUT') under -= 1; };
  page.on('requestfinished', over);
  page.on('requestfailed', over);
  const addresses = [];
  page.on('request', (request) => {
    if (request.method() === 'POST' && request.url().endsWith(`/w/${workspace}/documents`)) addresses.push(request.postDataJSON().name);
  });
  await page.setInputFiles('#files', files);
  const rows = page.locator('#document-list li.row');
  for (const name of names) {
    await rows.filter({ hasText: name }).and(page.locator('[data-state=ready]')).waitFor({ timeout: 2 * WAIT_MS });
  }
  ensure((await rows.count()) === names.length, 'a file is there twice');
  ensure(most === FILES_AT_ONCE, `${most} files were sent at once`);
  for (const name of troubles.keys()) ensure(puts.get(name) === 2, `${name}: ${puts.get(name)} times sent`);
  const asked = (name) => addresses.filter((each) => each === `${name}.pdf`).length;
  ensure(asked('address too old') === 2, 'an address that is too old is not asked for anew');
  ensure(asked('cut off') === 1, 'a connection that breaks costs an address');
  await page.unroute(`${S3_ORIGIN}/**`);

  // --- What cannot be brought is said before anything is sent ---
  const before = addresses.length;
  await page.setInputFiles('#files', [
    { name: 'letter.pdf', mimeType: 'application/pdf', buffer: Buffer.from('Dear Sir') },
    { name: 'nothing.pdf', mimeType: 'application/pdf', buffer: Buffer.alloc(0) },
  ]);
  await page.locator('#uploads li').filter({ hasText: 'This isn\u2019t a PDF' }).waitFor();
  await page.locator('#uploads li').filter({ hasText: 'The file is empty' }).waitFor();
  await page.locator('#uploads li').filter({ hasText: 'Check that it was exported or downloaded completely.' }).waitFor();
  ensure(addresses.length === before, 'an address was asked for something that is no PDF');

  // --- Without a network it waits, and goes on ---
  await page.context().setOffline(true);
  await page.setInputFiles('#files', [file('on the train', 'The word of the train is semaphore')]);
  await page.locator('#uploads li').filter({ hasText: 'offline' }).waitFor();
  await page.context().setOffline(false);
  await rows.filter({ hasText: 'on the train' }).and(page.locator('[data-state=ready]')).waitFor({ timeout: 2 * WAIT_MS });

  // --- By keyboard: past the navigation, into a menu, out of it, and through a dialog ---
  await page.reload();
  await page.keyboard.press('Tab');
  ensure((await page.evaluate(() => document.activeElement.textContent)) === 'Skip to content', 'the first stop is not the way past the navigation');
  const row = rows.filter({ hasText: 'nothing wrong' });
  await row.locator('summary').focus();
  await page.keyboard.press('Enter');
  await row.getByRole('link', { name: 'Rename' }).waitFor();
  await page.keyboard.press('Escape');
  await row.getByRole('link', { name: 'Rename' }).waitFor({ state: 'hidden' });
  ensure(await row.locator('summary').evaluate((it) => it === document.activeElement), 'Escape loses the place');
  await page.keyboard.press('Enter');
  await row.getByRole('link', { name: 'Rename' }).press('Enter');
  const dialog = page.getByRole('dialog', { name: 'Rename document' });
  ensure((await dialog.getByLabel('Title').inputValue()) === 'nothing wrong', 'the dialog does not know the title');
  await page.keyboard.type('<b>renamed</b>');
  await page.keyboard.press('Enter');
  await page.getByText('Name saved.').waitFor();
  await rows.filter({ hasText: '<b>renamed</b>' }).waitFor();

  // --- The theme comes with the page, not after it ---
  await page.locator('.person-menu summary').click();
  await page.getByRole('button', { name: 'Dark' }).click();
  const again = await page.reload();
  ensure((await again.text()).includes('data-theme="dark"'), 'the server does not know the theme');
  await page.locator('.person-menu summary').click();
  await page.getByRole('button', { name: 'Use device setting' }).click();
  ensure(!(await (await page.reload()).text()).includes('data-theme='), 'the theme cannot be given back to the device');

  // --- A removal wants the right words ---
  await page.goto(`${APP}/account`);
  const confirm = page.locator('#confirm-delete');
  await confirm.fill('delete my acount');
  await page.getByRole('button', { name: 'Delete account' }).click();
  ensure(new URL(page.url()).pathname === '/account', 'other words remove the account');
  await confirm.fill('delete my account');
  await page.getByRole('button', { name: 'Delete account' }).click();
  await page.getByRole('heading', { name: 'Deletion receipt' }).waitFor({ timeout: 2 * WAIT_MS });
  return { puts: Object.fromEntries(puts), most };
});
