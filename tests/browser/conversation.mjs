// A conversation: Markdown in which nothing acts, a follow-up question, and the tools of questions,
// answers and conversations.
import { APP, deleteAccount, ensure, file, run, workspaceWith } from './lib.mjs';

const QUESTION = 'How tall is the Eiffel Tower?';

await run(async ({ newUser }) => {
  const ada = await newUser('ada-in-conversation');
  const { page } = ada;
  await ada.context.grantPermissions(['clipboard-read', 'clipboard-write'], { origin: APP });
  const workspace = await workspaceWith(ada, [
    file('eiffel', 'The Eiffel Tower is 330 metres tall.'),
    file('skytree', 'The Tokyo Skytree has a height of 634 metres.'),
  ]);

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
  ensure((await answers.nth(1).locator('.sources summary').count()) === 1, 'another tower is a source');
  ensure(!(await answers.nth(1).innerText()).includes('634'), 'the answer is about another tower');

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

  // --- The documents to search ---
  await page.goto(thread);
  await page.locator('#scope').click();
  await ada.shoot('chat-scope');
  for (const name of ['eiffel', 'skytree']) await page.locator('.scope').getByLabel(name).check();
  ensure((await page.locator('.scope-label').innerText()) === '2 documents', 'the number of documents is not shown');
  await page.fill('#question', 'How high is the Tokyo Skytree?');
  await page.locator('#question').press('Enter');
  await page.locator('#conversation-scope', { hasText: 'Searching: eiffel, skytree' }).or(page.locator('#conversation-scope', { hasText: 'Searching: skytree, eiffel' })).waitFor();
  await answers.nth(2).waitFor();
  const shown = await page.locator('#scope-menu input[name=shown]').inputValue();
  ensure(shown.split(' ').length === 2, `the menu shows ${shown}`);
  ensure((await page.locator('#scope-menu input:checked').count()) === 2, 'the menu lost the documents');

  // --- What is typed while the browser is offline stays ---
  await ada.context.setOffline(true);
  await page.fill('#question', 'Are you there?');
  await page.locator('#question').press('Enter');
  await page.getByText('You\u2019re offline').waitFor();
  ensure((await page.inputValue('#question')) === 'Are you there?', 'the question was lost');
  await ada.shoot('chat-offline');
  await ada.context.setOffline(false);
  await page.getByText('You\u2019re offline').waitFor({ state: 'detached' });

  // --- Private until it is shared, pinned, deleted and restored ---
  await page.goto(thread);
  await page.locator('.sharing', { hasText: 'Only you can see' }).waitFor();
  const choose = async (name) => {
    await page.locator('#thread-menu').click();
    await page.getByRole('button', { name }).click();
  };
  await choose('Share with all members');
  await page.locator('.sharing', { hasText: 'Shared with all members' }).waitFor();
  await choose('Pin conversation');
  await page.locator('.threads li small .icon').waitFor();
  await ada.shoot('chat-shared');
  await choose('Make private');
  await page.locator('.sharing', { hasText: 'Only you can see' }).waitFor();
  const remove = async () => {
    await choose('Delete conversation');
    await page.getByRole('alertdialog').getByRole('button', { name: 'Delete conversation' }).click();
    await page.getByRole('button', { name: 'Undo' }).waitFor();
  };
  await remove();
  await ada.shoot('chat-deleted');
  await page.getByRole('button', { name: 'Undo' }).click();
  await page.getByText('Conversation restored.').waitFor();
  ensure((await answers.count()) === 3, 'answers are missing');
  await remove();
  // The offer ends by itself.
  await page.getByRole('button', { name: 'Undo' }).waitFor({ state: 'detached' });
  ensure((await page.goto(thread)).status() === 404, 'the conversation is still there');

  // --- A hidden tab holds no connection for live updates ---
  const setHidden = (isHidden) => page.evaluate((hidden) => {
    Object.defineProperty(document, 'hidden', { configurable: true, get: () => hidden });
    document.dispatchEvent(new Event('visibilitychange'));
  }, isHidden);
  const isStream = (request) => new URL(request.url()).pathname.endsWith('/documents/events');
  const opened = page.waitForRequest(isStream);
  await page.goto(`${APP}/w/${workspace}/documents`);
  const stream = await opened;
  const closed = page.waitForEvent('requestfailed', (request) => request === stream);
  await setHidden(true);
  await closed;
  const again = page.waitForRequest(isStream);
  await setHidden(false);
  await again;
  await deleteAccount(page);
  return { workspace, source };
});
