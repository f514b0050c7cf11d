// Uploads on an unreliable network: they are interrupted, rejected and retried. Also tests other
// features of the pages' scripts: the saved theme, keyboard access to menus and dialogs, and the
// confirmation of deletions.
import { APP, ensure, file, run, WAIT_MS, workspaceOf } from './lib.mjs';

const S3_ORIGIN = new URL(process.env.S3_URL).origin;
const PARALLEL_UPLOADS = 3;
const CORS = { 'access-control-allow-origin': APP };

await run(async ({ newUser }) => {
  const grace = await newUser('grace');
  const { page } = grace;
  await grace.signIn();
  const workspace = workspaceOf(page);
  await page.goto(`${APP}/w/${workspace}/provisioning`);
  await page.getByRole('heading', { name: 'Your database is ready' }).waitFor();
  await page.goto(`${APP}/w/${workspace}/documents`);

  // --- The first PUT of some files fails, each in another way ---
  const failures = new Map([
    ['interrupted', (route) => route.abort('connectionreset')],
    ['unavailable', (route) => route.fulfill({ status: 503, headers: CORS })],
    ['expired', (route) => route.fulfill({ status: 403, headers: CORS })],
  ]);
  const names = [...failures.keys(), 'successful', 'another'];
  const bySize = new Map();
  const files = names.map((name, index) => {
    const created = file(name, `The word of ${name} is heliograph ${'.'.repeat(40 * index)}`);
    bySize.set(String(created.buffer.length), name);
    return created;
  });
  ensure(bySize.size === names.length, 'the files must have different sizes');
  const puts = new Map();
  let active = 0;
  let maxActive = 0;
  // The first requests wait for each other, which shows that so many are sent in parallel.
  let release;
  const allActive = new Promise((resolve) => { release = resolve; });
  await page.route(`${S3_ORIGIN}/**`, async (route) => {
    const request = route.request();
    if (request.method() !== 'PUT') return route.continue();
    const name = bySize.get(String(request.postDataBuffer()?.length));
    puts.set(name, (puts.get(name) ?? 0) + 1);
    active += 1;
    maxActive = Math.max(maxActive, active);
    if (active === PARALLEL_UPLOADS) release();
    await allActive;
    if (puts.get(name) === 1 && failures.has(name)) await failures.get(name)(route);
    else await route.continue();
  });
  const finished = (request) => { if (request.method() === 'PUT') active -= 1; };
  page.on('requestfinished', finished);
  page.on('requestfailed', finished);
  const createdUploads = [];
  page.on('request', (request) => {
    if (request.method() === 'POST' && request.url().endsWith(`/w/${workspace}/documents`)) createdUploads.push(request.postDataJSON().name);
  });
  await page.setInputFiles('#files', files);
  const rows = page.locator('#document-list li.row');
  for (const name of names) {
    await rows.filter({ hasText: name }).and(page.locator('[data-state=ready]')).waitFor({ timeout: 2 * WAIT_MS });
  }
  ensure((await rows.count()) === names.length, 'a file is listed twice');
  ensure(maxActive === PARALLEL_UPLOADS, `${maxActive} files were sent in parallel`);
  for (const name of failures.keys()) ensure(puts.get(name) === 2, `${name} was sent ${puts.get(name)} times`);
  const uploadsOf = (name) => createdUploads.filter((each) => each === `${name}.pdf`).length;
  ensure(uploadsOf('expired') === 2, 'an expired URL is not replaced');
  ensure(uploadsOf('interrupted') === 1, 'an interrupted request creates another upload');
  await page.unroute(`${S3_ORIGIN}/**`);

  // --- Invalid files are rejected before anything is sent ---
  const before = createdUploads.length;
  await page.setInputFiles('#files', [
    { name: 'letter.pdf', mimeType: 'application/pdf', buffer: Buffer.from('Dear Sir') },
    { name: 'nothing.pdf', mimeType: 'application/pdf', buffer: Buffer.alloc(0) },
  ]);
  await page.locator('#uploads li').filter({ hasText: 'This isn\u2019t a PDF' }).waitFor();
  await page.locator('#uploads li').filter({ hasText: 'The file is empty' }).waitFor();
  await page.locator('#uploads li').filter({ hasText: 'Check that it was exported or downloaded completely.' }).waitFor();
  ensure(createdUploads.length === before, 'an upload was created for an invalid file');

  // --- An upload waits while the browser is offline ---
  await page.context().setOffline(true);
  await page.setInputFiles('#files', [file('on the train', 'The word of the train is semaphore')]);
  await page.locator('#uploads li').filter({ hasText: 'offline' }).waitFor();
  await page.context().setOffline(false);
  await rows.filter({ hasText: 'on the train' }).and(page.locator('[data-state=ready]')).waitFor({ timeout: 2 * WAIT_MS });

  // --- The keyboard reaches the skip link, menus and dialogs ---
  await page.reload();
  await page.keyboard.press('Tab');
  ensure((await page.evaluate(() => document.activeElement.textContent)) === 'Skip to content', 'the first focus is not the skip link');
  const row = rows.filter({ hasText: 'successful' });
  await row.locator('summary').focus();
  await page.keyboard.press('Enter');
  await row.getByRole('link', { name: 'Rename' }).waitFor();
  await page.keyboard.press('Escape');
  await row.getByRole('link', { name: 'Rename' }).waitFor({ state: 'hidden' });
  ensure(await row.locator('summary').evaluate((it) => it === document.activeElement), 'Escape loses the focus');
  await page.keyboard.press('Enter');
  await row.getByRole('link', { name: 'Rename' }).press('Enter');
  const dialog = page.getByRole('dialog', { name: 'Rename document' });
  ensure((await dialog.getByLabel('Title').inputValue()) === 'successful', 'the dialog does not contain the title');
  await page.keyboard.type('<b>renamed</b>');
  await page.keyboard.press('Enter');
  await page.getByText('Name saved.').waitFor();
  await rows.filter({ hasText: '<b>renamed</b>' }).waitFor();

  // --- The server renders the theme ---
  await page.locator('.person-menu summary').click();
  await page.getByRole('button', { name: 'Dark' }).click();
  const again = await page.reload();
  ensure((await again.text()).includes('data-theme="dark"'), 'the server does not render the theme');
  await page.locator('.person-menu summary').click();
  await page.getByRole('button', { name: 'Use device setting' }).click();
  ensure(!(await (await page.reload()).text()).includes('data-theme='), 'the theme cannot be reset to the device\'s');

  // --- A deletion requires the confirmation phrase ---
  await page.goto(`${APP}/account`);
  const confirm = page.locator('#confirm-delete');
  await confirm.fill('delete my acount');
  await page.getByRole('button', { name: 'Delete account' }).click();
  ensure(new URL(page.url()).pathname === '/account', 'a wrong phrase deletes the account');
  await confirm.fill('delete my account');
  await page.getByRole('button', { name: 'Delete account' }).click();
  await page.getByRole('heading', { name: 'Deletion receipt' }).waitFor({ timeout: 2 * WAIT_MS });
  return { puts: Object.fromEntries(puts), maxActive };
});
