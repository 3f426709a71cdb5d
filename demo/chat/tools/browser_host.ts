/**
 * What the tools need of a browser: tones, notifications, voices and the clock. What only this page has is given to it.
 */
import type { PageHost } from './tool';

export type PageParts = Omit<PageHost, 'now' | 'timeZone' | 'ring' | 'notify' | 'speak' | 'schedule'>;

export const browserHost = (page: PageParts): PageHost => ({
  ...page,
  now: Date.now,
  timeZone: () => Intl.DateTimeFormat().resolvedOptions().timeZone,
  ring: () => ring(page.volume()),
  notify,
  speak: (text) => speak(text, page.volume()),
  schedule,
});

/** Waits in steps: a timer of the browser holds at most 24.8 days, and does not run while the device sleeps. */
const STEP_MS = 30_000;

export function schedule(at: number, action: () => void): () => void {
  let timer: ReturnType<typeof setTimeout>;
  const wait = (): void => {
    const left = at - Date.now();
    if (left > 0) timer = setTimeout(wait, Math.min(left, STEP_MS));
    else action();
  };
  timer = setTimeout(wait, Math.max(0, Math.min(at - Date.now(), STEP_MS)));
  return () => clearTimeout(timer);
}

let audio: AudioContext | undefined;

/**
 * Opens the sound output. Browsers allow it only while they handle a click or a key, so the page calls it when the user
 * sends a message.
 */
export function prepareSound(): void {
  if (typeof AudioContext === 'undefined') return;
  audio ??= new AudioContext();
  if (audio.state === 'suspended') void audio.resume().catch(() => undefined);
}

/** seconds from the start at which each beep begins, and how long it lasts */
const BEEPS = [0, 0.3, 0.6, 1.4, 1.7, 2];
const BEEP_S = 0.18;

/** A tone of six beeps; resolves as soon as it is planned. */
export async function ring(percent: number): Promise<void> {
  prepareSound();
  if (!audio || percent <= 0) return;
  const output = audio;
  const loudness = output.createGain();
  loudness.gain.value = (percent / 100) ** 2; // loudness as it is heard
  loudness.connect(output.destination);
  for (const beep of BEEPS) {
    const tone = output.createOscillator();
    const edge = output.createGain();
    const start = output.currentTime + 0.05 + beep;
    tone.frequency.value = 880;
    // soft edges: a tone that begins at once clicks
    edge.gain.setValueAtTime(0, start);
    edge.gain.linearRampToValueAtTime(0.8, start + 0.02);
    edge.gain.setValueAtTime(0.8, start + BEEP_S - 0.04);
    edge.gain.linearRampToValueAtTime(0, start + BEEP_S);
    tone.connect(edge).connect(loudness);
    tone.start(start);
    tone.stop(start + BEEP_S);
    if (beep === BEEPS.at(-1)) tone.onended = () => loudness.disconnect();
  }
}

/** Asks once whether notifications may be shown. Browsers want a click or a key before. */
export async function askToNotify(): Promise<boolean> {
  if (typeof Notification === 'undefined') return false;
  return (
    (Notification.permission === 'default' ? await Notification.requestPermission() : Notification.permission) ===
    'granted'
  );
}

export function notify(title: string): void {
  if (typeof Notification === 'undefined' || Notification.permission !== 'granted') return;
  try {
    new Notification(title, { tag: title });
  } catch {
    // Chromium on Android has notifications of service workers alone; the tone and the card are left
  }
}

const VOICES_MS = 1000;

/** The voices of the device itself. A list that is not there yet is waited for. */
async function localVoices(): Promise<SpeechSynthesisVoice[]> {
  const own = (): SpeechSynthesisVoice[] => speechSynthesis.getVoices().filter((voice) => voice.localService);
  if (own().length === 0)
    await new Promise<void>((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        speechSynthesis.removeEventListener?.('voiceschanged', done);
        resolve();
      };
      const timer = setTimeout(done, VOICES_MS);
      speechSynthesis.addEventListener?.('voiceschanged', done);
    });
  return own();
}

/** Only with a voice of the device: others send the text to a server. */
export async function speak(text: string, percent: number): Promise<'speaking' | 'no voice'> {
  if (typeof speechSynthesis === 'undefined') return 'no voice';
  const voices = await localVoices();
  const language = document.documentElement.lang || navigator.language;
  const voice =
    voices.find(({ lang }) => lang.toLowerCase().startsWith(language.slice(0, 2).toLowerCase())) ??
    voices.find((each) => each.default) ??
    voices[0];
  if (!voice) return 'no voice';
  speechSynthesis.cancel();
  const utterance = new SpeechSynthesisUtterance(text);
  utterance.voice = voice;
  utterance.lang = voice.lang;
  utterance.volume = percent / 100;
  speechSynthesis.speak(utterance);
  return 'speaking';
}

export function stopSpeaking(): void {
  if (typeof speechSynthesis !== 'undefined') speechSynthesis.cancel();
}
