/** The conversation and the last choices, kept over a reload. A browser that refuses storage still chats. */
export interface Turn {
  role: 'user' | 'assistant';
  content: string;
  /** the line under a reply: how fast it came, or that it was stopped */
  note?: string;
}

const PREFIX = 'rivulet-chat.';

export function keep(name: 'turns' | 'settings' | 'model', value: unknown): boolean {
  try {
    if (value === undefined) localStorage.removeItem(PREFIX + name);
    else localStorage.setItem(PREFIX + name, JSON.stringify(value));
    return true;
  } catch {
    return false;
  }
}

export function kept(name: 'turns' | 'settings' | 'model'): unknown {
  try {
    return JSON.parse(localStorage.getItem(PREFIX + name) ?? 'null');
  } catch {
    return null;
  }
}

const isTurn = (turn: unknown): turn is Turn => {
  if (typeof turn !== 'object' || turn === null) return false;
  const { role, content, note } = turn as Record<string, unknown>;
  return (role === 'user' || role === 'assistant') && typeof content === 'string' && (note === undefined || typeof note === 'string');
};

export function keptTurns(): Turn[] {
  const turns = kept('turns');
  return Array.isArray(turns) ? turns.filter(isTurn) : [];
}
