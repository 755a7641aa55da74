// Opens the system's Chromium, hands a page to the script named first, and prints
// what the script returns, as JSON. What the page complains of ends it.
import { chromium } from 'playwright-core'
import { pathToFileURL } from 'node:url'

const [script, executablePath, ...args] = process.argv.slice(2)
const browser = await chromium.launch({
  executablePath, args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking'],
})
try {
  const page = await browser.newPage()
  const complaints = []
  page.on('pageerror', (e) => complaints.push(String(e)))
  page.on('console', (m) => { if (m.type() === 'error') complaints.push(m.text()) })
  const { default: story } = await import(pathToFileURL(script))
  const result = await story(page, ...args)
  if (complaints.length) throw new Error('the page complains:\n' + complaints.join('\n'))
  process.stdout.write(JSON.stringify(result ?? null))
} finally {
  await browser.close()
}
