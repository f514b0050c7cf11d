// What the scripts share: Chromium, users with their own browser contexts, screenshots in both
// themes and two widths, and checks that apply to every page.
import { createRequire } from 'node:module';
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';

const { BROWSER_MODULES, CHROMIUM, APP_URL, SCREENSHOTS } = process.env;
const { chromium } = createRequire(`${BROWSER_MODULES}/`)('playwright-core');

/** The app's URL, without a trailing slash. */
export const APP = APP_URL;
/** The timeout for anything on a page, in milliseconds. */
export const WAIT_MS = 60_000;
const SIZES = { wide: { width: 1280, height: 900 }, phone: { width: 390, height: 844 } };
const THEMES = ['light', 'dark'];

/** Throws an error with the message unless the condition holds. */
export function ensure(condition, message) {
  if (!condition) throw new Error(message);
}

/** Runs a script in a browser and prints its result as one line of JSON. */
export async function run(script) {
  const browser = await chromium.launch({
    executablePath: CHROMIUM,
    args: [
      '--no-sandbox', // the sandbox needs permissions that root and containers lack
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  });
  const findings = [];
  const users = [];
  try {
    const result = await script({
      findings,
      newUser: async (name) => {
        const user = await newUser(browser, name, findings);
        users.push(user);
        return user;
      },
    });
    ensure(findings.length === 0, `pages reported errors:\n${findings.join('\n')}`);
    console.log(JSON.stringify(result ?? {}));
  } catch (error) {
    for (const { name, page } of users) {
      console.error(`${name} was at ${page.url()}:\n${await page.innerText('body').catch(() => '(no page)')}\n`);
      await page.screenshot({ path: failureScreenshot(name), fullPage: true }).catch(() => {});
    }
    console.error(findings.join('\n'));
    console.error(error.stack ?? error);
    process.exitCode = 1;
  } finally {
    await browser.close();
  }
}

function folder() {
  mkdirSync(SCREENSHOTS, { recursive: true });
  return SCREENSHOTS;
}

/** The screenshot of a user's page when a script fails. */
function failureScreenshot(name) {
  return join(folder(), `failed-${name}.png`);
}

/** A user with their own browser context. */
async function newUser(browser, name, findings) {
  rmSync(failureScreenshot(name), { force: true }); // of an earlier run
  const context = await browser.newContext({ viewport: SIZES.wide, reducedMotion: 'reduce' });
  context.setDefaultTimeout(WAIT_MS);
  const page = await context.newPage();
  const allowed = new Set(
    [APP_URL, process.env.S3_URL, process.env.ISSUER].filter(Boolean).map((url) => new URL(url).origin),
  );
  const ours = new URL(APP_URL).origin;
  context.on('request', (request) => {
    const url = new URL(request.url());
    // Only requests of the app's pages are checked, not those of the OpenID provider's.
    if (!request.isNavigationRequest() && !request.frame().url().startsWith(ours)) return;
    if (url.protocol.startsWith('http') && !allowed.has(url.origin)) findings.push(`request to ${url.origin}`);
  });
  context.on('console', (message) => {
    const at = message.location().url ?? '';
    // The console also reports responses such as 404, which the scripts check where they matter.
    const status = /Failed to load resource/.test(message.text());
    if (message.type() === 'error' && !status && at.startsWith(ours)) findings.push(`console at ${at}: ${message.text()}`);
  });
  context.on('weberror', (error) => findings.push(`script: ${error.error()}`));
  return { name, context, page, signIn: (path) => signIn(page, name, path), shoot: (title) => shoot(page, title) };
}

/** Signs in with the OpenID provider, which accepts any name, and returns to the app. */
async function signIn(page, name, path = '/sign-in') {
  await page.goto(APP_URL + path);
  if (new URL(page.url()).pathname !== '/sign-in') await page.goto(`${APP_URL}/sign-in`);
  await page.getByRole('link', { name: /^Continue with/ }).click();
  await page.locator('input[name=login]').fill(name);
  await page.locator('input[name=password]').fill('anything');
  await page.locator('button[type=submit]').click();
  await page.waitForLoadState();
  // The provider asks for consent on the first sign-in.
  if (!page.url().startsWith(APP_URL)) await page.locator('button[type=submit]').click();
  await page.waitForURL((url) => url.href.startsWith(APP_URL) && !url.pathname.startsWith('/sign-in'));
}

/** Takes screenshots of the page in both themes and two widths. */
export async function shoot(page, title) {
  for (const [size, viewport] of Object.entries(SIZES)) {
    await page.setViewportSize(viewport);
    for (const colorScheme of THEMES) {
      await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
      await page.screenshot({ path: join(folder(), `${title}-${size}-${colorScheme}.png`), fullPage: true });
    }
    const overflow = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
    ensure(overflow <= 0, `${title} is ${overflow} px wider than the ${size} screen`);
  }
  await page.setViewportSize(SIZES.wide);
  await page.emulateMedia({ colorScheme: 'light', reducedMotion: 'reduce' });
}

/** The workspace of the current page. */
export function workspaceOf(page) {
  const [, workspace] = new URL(page.url()).pathname.match(/^\/w\/([a-z0-9]{12})/) ?? [];
  ensure(workspace, `${page.url()} is not a page of a workspace`);
  return workspace;
}

/** A PDF with these pages; each line of a page's text is a line of the page. */
function pdf(pages) {
  const numbers = pages.map((_, index) => 4 + 2 * index);
  const objects = [
    '<< /Type /Catalog /Pages 2 0 R >>',
    `<< /Type /Pages /Kids [${numbers.map((number) => `${number} 0 R`).join(' ')}] /Count ${pages.length} >>`,
    '<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>',
  ];
  pages.forEach((text, index) => {
    const lines = text.split('\n').map((line) => `(${line.replace(/[\\()]/g, '\\$&')}) Tj T*`);
    const content = `BT /F1 12 Tf 16 TL 72 720 Td ${lines.join(' ')} ET`;
    objects.push(
      `<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents ${numbers[index] + 1} 0 R /Resources << /Font << /F1 3 0 R >> >> >>`,
      `<< /Length ${content.length} >>\nstream\n${content}\nendstream`,
    );
  });
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

/** A PDF with these pages, for a file input. */
export const file = (name, ...pages) => ({ name: `${name}.pdf`, mimeType: 'application/pdf', buffer: pdf(pages) });

/** Opens the user's workspace, and uploads these files. Returns the workspace when all are ready. */
export async function workspaceWith(user, files) {
  const { page } = user;
  await user.signIn();
  const workspace = workspaceOf(page);
  await page.goto(`${APP}/w/${workspace}/provisioning`);
  await page.getByRole('heading', { name: 'Your database is ready' }).waitFor();
  await page.goto(`${APP}/w/${workspace}/documents`);
  await page.setInputFiles('#files', files);
  const ready = page.locator('#document-list li.row').and(page.locator('[data-state=ready]'));
  await ready.nth(files.length - 1).waitFor({ timeout: 2 * WAIT_MS });
  return workspace;
}

/** Types the confirmation phrase and waits for the receipt. */
export async function deleteAccount(page) {
  await page.goto(`${APP}/account`);
  const form = page.locator('#delete form');
  await form.locator('input[name=confirm]').fill(await form.locator('.typed').innerText());
  await form.getByRole('button').click();
  await page.getByRole('heading', { name: 'Deletion receipt' }).waitFor({ timeout: 2 * WAIT_MS });
}
