/**
 * The error response of the routes that write products and line items: a 422 with the violations by field.
 */
import type { FastifyReply, FastifyRequest } from 'fastify';
import { InvalidRecordError } from '../../validation/violations.ts';
import { sendProblem } from '../shared/problems.ts';

export function sendRecordProblem(
  error: unknown,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<FastifyReply> {
  return sendProblem(error, request, reply, (failure) =>
    failure instanceof InvalidRecordError ? failure.violations : undefined,
  );
}
