/**
 * The routes `POST /oauth2/token` and `POST /oauth2/revoke` of RFC 6749 and RFC 7009.
 * They accept a form, as the RFCs require, and JSON, which the official SDKs send.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { type Credentials, parseBasic } from '../../access/authentication.ts';
import type { IssuedTokens, Origin, Tokens } from '../../access/tokens.ts';
import { AppError, type ErrorCode } from '../../errors.ts';
import { textOf } from '../shared/body.ts';
import { sendProblem } from '../shared/problems.ts';
import { clientName } from '../shared/rate-limits.ts';
import { VersionHeader } from '../shared/schemas.ts';
import { OAUTH_RESPONSES } from './schemas.ts';

/** Error codes of RFC 6749, section 5.2. Other errors keep the common form `{error}`. */
const CODES: Partial<Readonly<Record<ErrorCode, string>>> = {
  'invalid-request': 'invalid_request',
  'unsupported-media': 'invalid_request',
  unauthenticated: 'invalid_client',
  'invalid-grant': 'invalid_grant',
  'invalid-scope': 'invalid_scope',
  'unsupported-grant-type': 'unsupported_grant_type',
};

const FORM = 'application/x-www-form-urlencoded';

export function addOAuthRoutes(app: FastifyInstance, { tokens }: { readonly tokens: Tokens }): void {
  app.addContentTypeParser(FORM, { parseAs: 'buffer' }, (_request, bytes, done) => {
    try {
      done(null, formFields(textOf(bytes as Buffer)));
    } catch (error) {
      done(error as Error);
    }
  });

  const config = { scope: 'client' } as const;
  const common = {
    tags: ['Authentication'],
    headers: VersionHeader,
    consumes: ['application/json', FORM],
  };

  app.post(
    '/oauth2/token',
    {
      config,
      schema: {
        ...common,
        operationId: 'createAccessToken',
        summary: 'Create or refresh an access token',
        description:
          'Send the public key and the secret key as HTTP Basic, or as client_id and client_secret. An access token is valid for one hour, a refresh token for 24 hours. A refresh token works once: a second use revokes all tokens from the same client_credentials request. Tokens end when their key or their secret ends.',
        body: { $ref: 'AuthTokenRequest#' },
        response: OAUTH_RESPONSES.token,
      },
      errorHandler: sendOAuthProblem,
    },
    async (request, reply) => {
      const fields = fieldsOf(request);
      const credentials = credentialsOf(request, fields);
      const scope = readText(fields, 'scope');
      const origin = originOf(request);
      reply.header('pragma', 'no-cache');
      switch (readText(fields, 'grant_type')) {
        case 'client_credentials':
          return tokenJSON(await tokens.issue(credentials, scope, origin));
        case 'refresh_token':
          return tokenJSON(
            await tokens.refresh(credentials, readRequiredText(fields, 'refresh_token'), scope, origin),
          );
        case undefined:
          throw new AppError('invalid-request', 'grant_type is required');
        default:
          throw new AppError(
            'unsupported-grant-type',
            'grant_type must be client_credentials or refresh_token',
          );
      }
    },
  );

  app.post(
    '/oauth2/revoke',
    {
      config,
      schema: {
        ...common,
        operationId: 'revokeAccessToken',
        summary: 'Revoke an access or refresh token',
        description:
          'Revoking a refresh token revokes all tokens from the same client_credentials request. An unknown token, or a token of another key, gets 204 and stays as it is.',
        body: { $ref: 'RevokeTokenRequest#' },
        response: OAUTH_RESPONSES.revoke,
      },
      errorHandler: sendOAuthProblem,
    },
    async (request, reply) => {
      const fields = fieldsOf(request);
      const credentials = credentialsOf(request, fields);
      const origin = originOf(request);
      await tokens.revoke(credentials, readRequiredText(fields, 'token'), origin);
      return reply.code(204).send();
    },
  );
}

type Fields = Readonly<Record<string, unknown>>;

function originOf({ id: requestID, ip: address }: FastifyRequest): Origin {
  return { requestID, address, client: clientName(address) };
}

function sendOAuthProblem(
  error: unknown,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<FastifyReply> {
  return sendProblem(error, request, reply, ({ code, message }) => {
    const name = CODES[code];
    return name === undefined ? undefined : { error: name, error_description: message };
  });
}

/** @throws AppError `invalid-request` if a parameter occurs twice, which RFC 6749 forbids. */
function formFields(body: string): Fields {
  const fields: Record<string, string> = Object.create(null);
  for (const [name, value] of new URLSearchParams(body)) {
    if (name in fields) throw new AppError('invalid-request', 'a parameter occurs more than once');
    fields[name] = value;
  }
  return fields;
}

function fieldsOf({ body }: FastifyRequest): Fields {
  if (body === undefined) return {};
  if (typeof body === 'object' && body !== null && !Array.isArray(body)) return body as Fields;
  throw new AppError('invalid-request', 'the body must be a JSON object or a form');
}

/** A parameter of the request. An empty parameter counts as absent: RFC 6749, section 3.1. */
function readText(fields: Fields, name: string): string | undefined {
  const value = fields[name];
  if (value === undefined || value === null || value === '') return undefined;
  if (typeof value !== 'string') throw new AppError('invalid-request', `${name} must be a string`);
  return value;
}

function readRequiredText(fields: Fields, name: string): string {
  const value = readText(fields, name);
  if (value === undefined) throw new AppError('invalid-request', `${name} is required`);
  return value;
}

/**
 * The credentials of the header or the body. The SDKs can send them in both places.
 * @throws AppError `invalid-request` if the two places have different credentials.
 */
function credentialsOf(request: FastifyRequest, fields: Fields): Credentials | undefined {
  const { authorization } = request.headers;
  const publicKey = readText(fields, 'client_id');
  const secretKey = readText(fields, 'client_secret');
  if (authorization === undefined) {
    // PostgreSQL does not accept NUL in a text, not even in a query.
    if (publicKey === undefined || secretKey === undefined || publicKey.includes('\0')) return undefined;
    return { publicKey, secretKey };
  }
  const basic = parseBasic(authorization);
  const areEqual =
    basic === undefined ||
    ((publicKey === undefined || publicKey === basic.publicKey) &&
      (secretKey === undefined || secretKey === basic.secretKey));
  if (!areEqual) {
    throw new AppError(
      'invalid-request',
      'the credentials in the Authorization header and in the body are different',
    );
  }
  return basic;
}

function tokenJSON({ accessToken, refreshToken, expiresIn, scope }: IssuedTokens) {
  return {
    // RFC 6749 ignores the case of this value. The official SDK accepts only this case.
    token_type: 'Bearer',
    access_token: accessToken,
    refresh_token: refreshToken,
    expires_in: expiresIn,
    scope,
  };
}
