/** Writes requests into the ledger. */
import type { Governance } from './governance';
import type { Ledger } from './ledger/ledger';
import type { Recorder } from './parts';
import { failRoute } from './route_error';
import type { RouteStep } from './types';

export function createRecorder(
  ledger: Ledger,
  { governance, joulesPerToken }: { governance: Governance; joulesPerToken: number },
): Recorder {
  const { retentionDays, requireLedger } = governance.file;
  // `failing` tells that a row is missing; the answer does not wait for it
  const later = (work: Promise<unknown>): void => void work.catch(() => undefined);
  const begun = (async () => {
    await ledger.ready;
    const { sha256, file } = governance;
    const known = (await ledger.rows()).findLast(({ event }) => event === 'governance');
    if (known?.note !== sha256 && Object.keys(file).length > 1)
      await ledger.append({ event: 'governance', note: sha256 });
    if (retentionDays !== undefined) await ledger.purge(retentionDays);
  })();
  later(begun);
  return {
    async sent({ id, host, model, bytes, redacted }) {
      const row = ledger.append({ event: 'sent', id, host, model, bytes, redacted });
      if (!requireLedger) return later(row);
      try {
        await row;
      } catch {
        failRoute('ledger_failed', {
          what: 'The ledger cannot be written, and nothing may leave without it',
          cure: "Allow this site's storage, or free space on the device.",
        });
      }
    },
    done(report, { promptTokens, tokens, result }) {
      const { id, source, outcome, policy, rule, reason, model, endpoint, firstTokenMs, ms, cost, redacted } = report;
      const local = report.steps.some((step) => step.source === 'local');
      const row = {
        event: 'done' as const,
        id,
        source,
        outcome,
        policy,
        rule,
        reason,
        model,
        endpoint,
        result,
        promptTokens,
        tokens,
        firstTokenMs,
        ms,
        cost,
        joules: local ? joulesPerToken * (promptTokens + tokens) : 0,
        bytes: Object.values(report.bytesSent).reduce((sum, n) => sum + n, 0),
        redacted,
        steps: report.steps.map(stepText).join(', '),
      };
      later(ledger.append(row));
    },
  };
}

const stepText = ({ source, model, endpoint, result }: RouteStep): string =>
  `${source} ${endpoint ?? model}: ${result}`;
