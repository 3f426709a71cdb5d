/** A strict project that keeps conversations in sessions. */
import { load } from 'rivulet';
import { createSession, importSession, type ImportedSession, type Session } from 'rivulet/session';

export async function talk(): Promise<string> {
  const model = await load('./model.gguf', { saveConversations: true });
  const session: Session = createSession(model, {
    messages: [{ role: 'system', content: 'Be brief.' }],
    maxTokens: 50,
  });
  for await (const text of session.send('Hello', { temperature: 0 })) document.body.append(text);
  const other = session.clone();
  other.append([{ role: 'user', content: 'Bye' }]);
  other.rewind(1);
  const imported: ImportedSession = await importSession(model, await other.export(), { state: 'required' });
  return `${imported.tokens} ${imported.note ?? ''} ${imported.session.messages.length}`;
}

// @ts-expect-error no model
createSession({});
