// A conversation: Markdown in which nothing acts, a follow-up question, and the tools of questions,
// answers and conversations.
import { APP, deleteAccount, ensure, file, run, WAIT_MS, workspaceOf } from './lib.mjs';

const QUESTION = 'How tall is the Eiffel Tower?';

await run(async ({ newUser }) => {
  const ada = await newUser('ada-in-conversation');
  const { page } = ada;
  await ada.context.grantPermissions(['clipboard-read', 'clipboard-write'], { origin: APP });
  await ada.signIn();
  const workspace = workspaceOf(page);
  await page.goto(`${APP}/w/${workspace}/provisioning`);
  await page.getByRole('heading', { name: 'Your database is ready' }).waitFor();
  await page.goto(`${APP}/w/${workspace}/documents`);
  await page.setInputFiles('#files', [
    file('eiffel', 'The Eiffel Tower is 330 metres tall.'),
    file('skytree', 'The Tokyo Skytree has a height of 634 metres.'),
  ]);
  const rows = page.locator('#document-list li.row');
  for (const name of ['eiffel', 'skytree']) {
    await rows.filter({ hasText: name }).and(page.locator('[data-state=ready]')).waitFor({ timeout: 2 * WAIT_MS });
  }

  // --- The draft of a question survives a reload, and is gone when it is sent ---
  await page.goto(`${APP}/w/${workspace}/chat`);
  await page.fill('#question', QUESTION);
  await page.reload();
  ensure((await page.inputValue('#question')) === QUESTION, 'the draft was lost');
  await page.locator('#question').press('Enter');
  const answers = page.locator('article.answer:not(.pending)');
  await answers.nth(0).waitFor();
  const thread = page.url();
  await page.goto(`${APP}/w/${workspace}/chat`);
  ensure((await page.inputValue('#question')) === '', 'a draft that was sent is still there');
  await page.goto(thread);

  // --- The answer, with what a document might tell a model to write ---
  const text = answers.nth(0).locator('.answer-text');
  for (const element of ['table', 'em', 'ul ul', 'blockquote', 'pre code', 'a.ref']) {
    ensure((await text.locator(element).count()) > 0, `the answer has no ${element}`);
  }
  ensure((await text.locator('a:not(.ref), img, iframe, form, script').count()) === 0, 'something in the answer acts');
  ensure((await text.innerText()).includes('(evil.example)'), 'the host of a link is not shown');
  await ada.shoot('chat-markdown');

  // --- A follow-up question is about the same tower ---
  await page.fill('#question', 'and what about its height?');
  await page.locator('#question').press('Enter');
  await answers.nth(1).waitFor();
  const source = await answers.nth(1).locator('.sources summary').first().innerText();
  ensure(source.includes('eiffel'), `the answer is about ${source}`);

  // --- Copy, rate, regenerate ---
  const last = answers.nth(1);
  const clipboard = () => page.evaluate(() => navigator.clipboard.readText());
  await last.getByRole('button', { name: 'Copy', exact: true }).click();
  await last.getByText('Copied').waitFor();
  ensure(/330 metres tall\. \[1\][^]*Sources:\n\[1\] eiffel, page 1/.test(await clipboard()), `copied: ${await clipboard()}`);
  await last.getByRole('button', { name: 'Copy without citations' }).click();
  await last.locator('[data-copy-url$="citations=no"]').filter({ hasText: 'Copied' }).waitFor();
  ensure(!(await clipboard()).includes('['), `copied: ${await clipboard()}`);
  await last.getByRole('button', { name: 'Good answer' }).click();
  await last.locator('button[aria-pressed=true]').waitFor();
  await page.reload();
  ensure((await last.getByRole('button', { name: 'Good answer' }).getAttribute('aria-pressed')) === 'true', 'the rating was not saved');
  await ada.shoot('chat-tools');
  await last.getByRole('button', { name: 'Regenerate' }).click();
  await page.locator('article.answer button[aria-pressed=true]').waitFor({ state: 'detached' });
  await answers.nth(1).waitFor();
  ensure((await page.locator('article.question').count()) === 2, 'regenerating asks another question');

  // --- Edit a question, rename and search the conversation ---
  await page.locator('article.question').first().getByRole('button', { name: 'Edit and ask again' }).click();
  ensure((await page.inputValue('#question')) === QUESTION, 'the question is not in the field');
  await page.locator('#thread-menu').click();
  await page.getByRole('button', { name: 'Rename conversation' }).click();
  await page.locator('#thread-title').fill('Towers of the world');
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { name: 'Towers of the world' }).waitFor();
  const listed = page.locator('#thread-results li');
  await page.fill('#thread-search', 'no such conversation');
  await page.getByText('No conversation contains this text.').waitFor();
  await page.fill('#thread-search', '330 METRES');
  await listed.filter({ hasText: 'Towers of the world' }).waitFor();
  await deleteAccount(page);
  return { workspace, source };
});
