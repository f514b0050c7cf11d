// What the stories share: Chromium, people in windows of their own, screenshots of every page in both themes and two widths,
// and a watch over what must never happen on any page.
import { createRequire } from 'node:module';
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';

const { BROWSER_MODULES, CHROMIUM, APP_URL, SCREENSHOTS } = process.env;
const { chromium } = createRequire(`${BROWSER_MODULES}/`)('playwright-core');

/** Where the app is, without a slash at its end. */
export const APP = APP_URL;
/** How long anything on a page may take, in milliseconds. */
export const WAIT_MS = 60_000;
const SIZES = { wide: { width: 1280, height: 900 }, phone: { width: 390, height: 844 } };
const THEMES = ['light', 'dark'];

/** Fails with `what` unless it is so. */
export function ensure(condition, what) {
  if (!condition) throw new Error(what);
}

/** Runs a story in a browser, prints what it found as one line of JSON, and ends this process. */
export async function tell(story) {
  const browser = await chromium.launch({
    executablePath: CHROMIUM,
    args: [
      '--no-sandbox', // the sandbox needs rights that root and containers have not
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  });
  const findings = [];
  const people = [];
  try {
    const found = await story({
      findings,
      person: async (name) => {
        rmSync(failure(name), { force: true });
        const somebody = await person(browser, name, findings);
        people.push(somebody);
        return somebody;
      },
    });
    ensure(findings.length === 0, `pages complained:\n${findings.join('\n')}`);
    console.log(JSON.stringify(found ?? {}));
  } catch (error) {
    for (const { name, page } of people) {
      console.error(`${name} was at ${page.url()}:\n${await page.innerText('body').catch(() => '(no page)')}\n`);
      await page.screenshot({ path: failed(name), fullPage: true }).catch(() => {});
    }
    console.error(findings.join('\n'));
    console.error(error.stack ?? error);
    process.exitCode = 1;
  } finally {
    await browser.close();
  }
}

/** Where somebody's page is kept when a story fails; that of an earlier run goes when the next begins. */
function failure(name) {
  return join(folder(), `failed-${name}.png`);
}

function folder() {
  mkdirSync(SCREENSHOTS, { recursive: true });
  return SCREENSHOTS;
}

/** Where somebody was when a story failed. */
function failed(name) {
  return join(folder(), `failed-${name}.png`);
}

/** Somebody with a browser of their own. */
async function person(browser, name, findings) {
  rmSync(failed(name), { force: true }); // an earlier run's
  const context = await browser.newContext({ viewport: SIZES.wide, reducedMotion: 'reduce' });
  context.setDefaultTimeout(WAIT_MS);
  const page = await context.newPage();
  const allowed = new Set(
    [APP_URL, process.env.S3_URL, process.env.ISSUER].filter(Boolean).map((url) => new URL(url).origin),
  );
  const ours = new URL(APP_URL).origin;
  context.on('request', (request) => {
    const url = new URL(request.url());
    // Of the app's pages; what the provider's own pages ask for is its affair.
    if (!request.isNavigationRequest() && !request.frame().url().startsWith(ours)) return;
    if (url.protocol.startsWith('http') && !allowed.has(url.origin)) findings.push(`a request leaves for ${url.origin}`);
  });
  context.on('console', (message) => {
    const at = message.location().url ?? '';
    // Answers such as 404 are told there too, and are looked at where they are expected.
    const status = /Failed to load resource/.test(message.text());
    if (message.type() === 'error' && !status && at.startsWith(ours)) findings.push(`console at ${at}: ${message.text()}`);
  });
  context.on('weberror', (error) => findings.push(`script: ${error.error()}`));
  return { name, context, page, signIn: (path) => signIn(page, name, path), shoot: (title) => shoot(page, title) };
}

/** Signs in with the OpenID provider, whose pages take any name; a page of the app is shown afterwards. */
async function signIn(page, name, path = '/sign-in') {
  await page.goto(APP_URL + path);
  if (new URL(page.url()).pathname !== '/sign-in') await page.goto(`${APP_URL}/sign-in`);
  await page.getByRole('link', { name: /^Continue with/ }).click();
  await page.locator('input[name=login]').fill(name);
  await page.locator('input[name=password]').fill('anything');
  await page.locator('button[type=submit]').click();
  await page.waitForLoadState();
  // The provider asks for consent once.
  if (!page.url().startsWith(APP_URL)) await page.locator('button[type=submit]').click();
  await page.waitForURL((url) => url.href.startsWith(APP_URL) && !url.pathname.startsWith('/sign-in'));
}

/** The page as it is, in both themes and two widths. */
export async function shoot(page, title) {
  for (const [size, viewport] of Object.entries(SIZES)) {
    await page.setViewportSize(viewport);
    for (const colorScheme of THEMES) {
      await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
      await page.screenshot({ path: join(folder(), `${title}-${size}-${colorScheme}.png`), fullPage: true });
    }
    const overflow = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
    ensure(overflow <= 0, `${title} is ${overflow} px wider than a ${size} screen`);
  }
  await page.setViewportSize(SIZES.wide);
  await page.emulateMedia({ colorScheme: 'light', reducedMotion: 'reduce' });
}

/** The workspace whose page is shown. */
export function workspaceOf(page) {
  const [, workspace] = new URL(page.url()).pathname.match(/^\/w\/([a-z0-9]{12})/) ?? [];
  ensure(workspace, `${page.url()} is no page of a workspace`);
  return workspace;
}
