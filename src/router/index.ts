/**
 * Routes chat completions between models of the device and endpoints in the cloud, and keeps a record of what left. A
 * file of its own beside the library: it needs a loaded model, not the library's file.
 */
export {
  calibrate,
  evaluateThreshold,
  type Calibration,
  type CalibrationCosts,
  type LabelledRequest,
} from './calibrate';
export { createRouter, type Router } from './create_router';
export type { EndpointState } from './endpoints';
export type { Environment } from './environment';
export type { Governance, GovernanceFile } from './governance';
export type { LedgerFigures, PathTimes } from './ledger/figures';
export { createLedger, type Ledger, type LedgerOptions } from './ledger/ledger';
export type { LedgerCheck, LedgerEntry, LedgerMark, LedgerRow } from './ledger/rows';
export { createDatabaseStorage, createMemoryStorage, type LedgerStorage } from './ledger/storage';
export { confidenceOf, type TokenChoice } from './local_path';
export { DEFAULT_POLICY, PRESETS, type PresetName } from './policy';
export type { Detector, PrivateSpan } from './redact/detectors';
export { createModelJudge } from './redact/model_judge';
export type { RedactionOptions } from './redact/redactor';
export { RouteError, type RouteErrorCode } from './route_error';
export type { RouterOptions } from './router_options';
export type * from './types';
