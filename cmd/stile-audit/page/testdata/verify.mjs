// An auditor opens the page from a disk and tries it.
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

export default async function (page, file, samples, broken, shots) {
  const asked = []
  page.on('request', (r) => asked.push(r.url()))
  await page.goto(pathToFileURL(file).href)
  const out = {}
  const click = async (name, button) => {
    await page.getByRole('button', { name: button, exact: true }).click()
    await page.waitForFunction(() => !document.querySelector('button').disabled && document.getElementById('verdict').textContent)
    out[name] = { verdict: await page.locator('#verdict').textContent(), report: await page.locator('#report').textContent() }
    if (shots) await page.screenshot({ path: join(shots, name + '.png'), fullPage: true })
  }
  await page.getByLabel('File', { exact: true }).setInputFiles(join(samples, 'moving.stile'))
  await click('alone', 'Verify')
  await page.getByLabel('Member files').setInputFiles([join(samples, 'directory', 'northmoor.gov.uk.yaml'), join(samples, 'directory', 'saltby.gov.uk.yaml')])
  await click('trusted', 'Verify')
  await click('shown', 'Say what is in it, verifying nothing')
  await page.getByLabel('File', { exact: true }).setInputFiles(broken)
  await click('broken', 'Verify')
  await page.getByLabel('File', { exact: true }).setInputFiles(join(samples, 'R0.token'))
  await page.getByLabel('Proof, if it is a token').setInputFiles(join(samples, 'R0.tlog-proof'))
  await click('token', 'Verify')
  await page.getByLabel('File', { exact: true }).setInputFiles(join(samples, 'keys.txt'))
  await click('nonsense', 'Verify')
  out.requests = asked.filter((u) => !u.startsWith('file:') && !u.startsWith('blob:') && !u.startsWith('data:'))
  return out
}
