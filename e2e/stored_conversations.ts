/** What the chat page has stored of its conversations. */
import type { Page } from 'playwright';
import type { ChatMessage, Conversation } from '../demo/chat/conversations/conversation';

/** The conversations of this browser, as they are stored. */
export const storedConversations = (page: Page): Promise<Conversation[]> =>
  page.evaluate(
    () =>
      new Promise((resolve, reject) => {
        const opening = indexedDB.open('rivulet-chat-conversations');
        opening.onerror = () => reject(opening.error);
        opening.onsuccess = () => {
          const reading = opening.result
            .transaction('conversations')
            .objectStore('conversations')
            .getAll(IDBKeyRange.bound('conversation/', 'conversation0'));
          reading.onerror = () => reject(reading.error);
          reading.onsuccess = () => {
            opening.result.close();
            resolve(reading.result);
          };
        };
      }),
  );

/** The last message of the conversation that is shown, when it is stored whole. */
export async function lastStored(page: Page): Promise<ChatMessage> {
  for (;;) {
    const open = await page.evaluate(() => sessionStorage['rivulet-chat.open'] as string);
    const conversation = (await storedConversations(page)).find(({ id }) => id === open);
    const last = conversation?.leaf ? conversation.messages[conversation.leaf] : undefined;
    if (last?.finish) return last;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
