/** The side file `conversations`: saved conversations. */
import { registerSavedConversations } from '../engine/conversations';
import { ConversationsOnDisk } from '../engine/saved_conversations';

registerSavedConversations((model) => new ConversationsOnDisk(model));
