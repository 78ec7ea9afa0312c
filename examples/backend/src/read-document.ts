import { errorOf, type DocumentBody, type SidecarClient } from './client.js';

/**
 * Have a document read with a profile. Nothing else is sent: model, parameters, prompts, tags and deadline are the
 * profile's, so they change without a release of the backend.
 *
 * @throws SidecarError where the sidecar refuses or fails; the signal's own reason where the caller gave up.
 */
export async function readDocument(
  client: SidecarClient,
  profile: string,
  document: Blob,
  signal?: AbortSignal,
): Promise<DocumentBody> {
  const { data, error, response } = await client.POST('/ocr-upload', {
    body: { file: document, profile },
    bodySerializer: asForm,
    // The sidecar stops its work on a document when the connection closes.
    signal: signal ?? null,
  });
  if (!data) throw errorOf(response, error);
  return data;
}

function asForm(fields: { file: Blob; profile?: string | null }): FormData {
  const form = new FormData();
  if (fields.profile) form.append('profile', fields.profile);
  form.append('file', fields.file, 'upload.pdf');
  return form;
}
