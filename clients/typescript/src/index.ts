/** The Node client of slad. README.md says how it is used. */

export type { AckPolicy } from "./acknowledger.js";
export {
  asAlgaStatus,
  DEFAULT_BACKEND_TIMEOUT_MS,
  DEFAULT_CONTINUE_WITHIN_MS,
  SladSlaBackend,
  type SladSlaBackendOptions,
  type SlaStart,
} from "./algapsa/backend.js";
export {
  type ImportOptions,
  type OpenTicket,
  slaTrackingImport,
  slaTrackingImports,
} from "./algapsa/import.js";
export type {
  IBusinessHoursEntry,
  IBusinessHoursScheduleWithEntries,
  IHoliday,
  ISlaBackend,
  ISlaPolicyTarget,
  ISlaStatus,
  SlaTimerStatusName,
} from "./algapsa/types.js";
export type { OnWarning, SlaWarning } from "./algapsa/warnings.js";
export type { Rows } from "./bulk.js";
export { durationOf, type Input, millisecondsOf } from "./checks.js";
export { SladClient, type SladClientOptions } from "./client.js";
export { type CallOptions, SlaCommands, type Told, type WithStatus } from "./commands.js";
export { type ConnectionOptions, DEFAULT_ADDRESS, type TlsOptions } from "./connection.js";
export * from "./errors.js";
export type {
  SlaAuditEntry,
  SlaBreach,
  SlaCompletion,
  SlaEscalation,
  SlaEventFacts,
  SlaNotification,
  SlaRetraction,
  SlaThresholdFacts,
} from "./events/arguments.js";
export {
  type ConsumerState,
  type HandlerRetryPolicy,
  SlaEventConsumer,
  type SlaEventConsumerOptions,
} from "./events/consumer.js";
export type { Handler, HandlerContext, SlaEventHandlers } from "./events/handlers.js";
export {
  MemoryParkingLot,
  type ParkedEvent,
  type ParkingLot,
  parkedFromJson,
  parkedToJson,
} from "./events/parking.js";
export { commandFromJson } from "./json.js";
export { type PipelineOptions, SladPipeline, type SlaOutcome } from "./pipeline.js";
export { DEFAULT_RETRY, NO_RETRY, type RetryPolicy } from "./retry.js";
export type { SlaConsumer } from "./stubs/slad/v1/admin.js";
export * from "./stubs/slad/v1/attainment.js";
export * from "./stubs/slad/v1/sla_backend.js";
export * from "./stubs/slad/v1/types.js";
export { SladTestClock } from "./test-clock.js";
export type { WatchOptions } from "./watch.js";
