import createClient, { type Client } from 'openapi-fetch';
import type { components, paths } from './openapi.js';

export type DocumentBody = components['schemas']['DocumentBody'];
export type SidecarClient = Client<paths, 'application/json'>;

/** Where the sidecar is on its own network. Who may call is decided by that network, so there is no key to send. */
export const DEFAULT_URL = 'http://ocr-sidecar:8765';

/** Make a client whose routes, fields and answers are typed by the service's own /openapi.json. */
export function makeClient(baseUrl: string = DEFAULT_URL): SidecarClient {
  return createClient<paths, 'application/json'>({ baseUrl });
}

/** What the sidecar refused or could not do. `code` is for programs, `message` for people. */
export class SidecarError extends Error {
  override readonly name = 'SidecarError';

  constructor(
    readonly status: number,
    readonly code: string,
    detail: string,
    readonly requestId: string | undefined,
    /** When the same request may succeed; undefined where it never will, or nobody knows. */
    readonly retryAfterSeconds: number | undefined,
  ) {
    super(detail);
  }
}

/** Turn an answer that is no 2xx into an error. What is not the sidecar's own shape comes from something in between. */
export function errorOf(response: Response, body: unknown): SidecarError {
  const told = typeof body === 'object' && body !== null ? (body as Record<string, unknown>) : {};
  const text = (name: string): string | undefined => (typeof told[name] === 'string' ? told[name] : undefined);
  const seconds = Number(response.headers.get('Retry-After') ?? Number.NaN);
  return new SidecarError(
    response.status,
    text('code') ?? 'not_the_sidecar',
    text('detail') ?? response.statusText,
    text('requestId'),
    Number.isFinite(seconds) ? seconds : undefined,
  );
}
