/** A virtual display, for browsers that need a window: Xvfb. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';

/** @param program the path of Xvfb. @returns the value of DISPLAY; the display ends with its process */
export async function startDisplay(program: string): Promise<{ display: string; process: ChildProcess }> {
  const child = spawn(program, ['-displayfd', '3', '-screen', '0', '1280x1024x24', '-nolisten', 'tcp'], {
    stdio: ['ignore', 'ignore', 'ignore', 'pipe'],
  });
  const [number] = (await once(createInterface(child.stdio[3] as Readable), 'line')) as [string];
  return { display: `:${number}`, process: child };
}
