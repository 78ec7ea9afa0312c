// Sends documents as the backend in production does: Node's own FormData and Blob. One request for each line of stdin,
// [URL, FILE, [[name, value], …]]; prints one line for each answer, [status, body].
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';

for await (const line of createInterface({ input: process.stdin })) {
  const [url, file, fields] = JSON.parse(line);
  const form = new FormData();
  form.append('file', new Blob([readFileSync(file)], { type: 'application/pdf' }), 'upload.pdf');
  for (const [name, value] of fields) form.append(name, value);
  const answer = await fetch(url, { method: 'POST', body: form });
  console.log(JSON.stringify([answer.status, await answer.json()]));
}
