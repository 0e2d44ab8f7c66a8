/** Requests as they are sent: checked, complete, commands under a request_id. */

import { randomUUID } from "node:crypto";
import type { MethodDefinition } from "@grpc/grpc-js";
import { checkedMessage, wrongType } from "./checks.js";
import { invalid } from "./errors.js";
import * as admin from "./stubs/slad/v1/admin.js";
import * as attainment from "./stubs/slad/v1/attainment.js";
import * as rpc from "./stubs/slad/v1/sla_backend.js";

type Messages = Record<string, { fromPartial(object: object): unknown }>;
const MESSAGES = { ...rpc, ...admin, ...attainment } as unknown as Messages;

/** The name of a method's request in the contract. */
export function requestName(method: Pick<MethodDefinition<unknown, unknown>, "path">): string {
  return `${method.path.slice(method.path.lastIndexOf("/") + 1)}Request`;
}

/** The request of a method, checked and complete. Raises InvalidArgument. */
export function messageOf<Request, Reply>(
  method: MethodDefinition<Request, Reply>,
  request: object,
): Request {
  return messageNamed(requestName(method), request) as Request;
}

/** The message of that name, checked and complete. Raises InvalidArgument. */
export function messageNamed(name: string, value: unknown): unknown {
  return MESSAGES[name]?.fromPartial(checkedMessage(name, value));
}

/** A command under a request_id: its own, or else one that is new. Raises InvalidArgument. */
export function identified(request: unknown): Record<string, unknown> {
  if (typeof request !== "object" || request === null) {
    throw wrongType("request", "an object", request);
  }
  const { request_id, ...given } = request as Record<string, unknown>;
  return { ...given, request_id: request_id || randomUUID() };
}

/** Raises InvalidArgument for a `timeoutMs` that is none. */
export function checkedTimeout(timeoutMs: number): number {
  if (typeof timeoutMs !== "number" || !(timeoutMs > 0)) {
    throw invalid("timeoutMs", "OUT_OF_RANGE", `${timeoutMs} is not a span of time`);
  }
  return timeoutMs;
}
