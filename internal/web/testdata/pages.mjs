// Looks at every page it is given: by axe-core, by html-validate, for what the browser
// complains of, and for what is wider than the screen.
import { createRequire } from 'node:module'
const require = createRequire(process.cwd() + '/')
const { HtmlValidate } = require('html-validate')
const axe = require('axe-core').source

export default async function (page, input) {
  const { sides, hostile, record } = JSON.parse(input)
  const problems = []
  let pages = 0
  const validate = new HtmlValidate({
    extends: ['html-validate:standard'],
    rules: { 'no-trailing-whitespace': 'off', 'void-style': 'off', 'attribute-boolean-style': 'off', 'long-title': 'off', 'no-inline-style': 'error', 'prefer-native-element': 'off', 'no-redundant-role': 'off' },
  })
  await Promise.all(sides.map(async (side) => {
    const context = await page.context().browser().newContext()
    const tab = await context.newPage()
    let at = ''
    tab.on('dialog', (d) => { problems.push(`${at}: a dialog opened`); d.dismiss() })
    tab.on('pageerror', (e) => problems.push(`${at}: ${e}`))
    tab.on('console', (m) => { if (m.type() === 'error' && !/the server responded with a status of 4/.test(m.text())) problems.push(`${at}: ${m.text()}`) })
    const look = async (path, lang) => {
      at = `${path} (${lang})`
      const reply = await tab.goto(side.URL + path + (path.includes('?') ? '&' : '?') + 'lang=' + lang)
      pages++
      const report = await validate.validateString(await reply.text())
      for (const r of report.results) for (const m of r.messages) if (m.severity === 2) problems.push(`${at}: html: line ${m.line}: ${m.ruleId}: ${m.message}`)
      await tab.evaluate(axe)
      const found = await tab.evaluate(() => axe.run({ runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'], resultTypes: ['violations'] }))
      for (const v of found.violations) problems.push(`${at}: axe: ${v.id}: ${v.help}: ${v.nodes[0].html.slice(0, 200)}`)
      await tab.setViewportSize({ width: 375, height: 800 })
      const wide = await tab.evaluate(() => document.documentElement.scrollWidth)
      if (wide > 375) problems.push(`${at}: ${wide} wide on a screen of 375`)
      const cut = () => tab.evaluate(() => [...document.querySelectorAll('.stile-lines')].some((e) => e.parentElement.scrollWidth > e.parentElement.clientWidth))
      if (await cut()) problems.push(`${at}: the lines of the register go beyond a screen of 375`)
      await tab.setViewportSize({ width: 1280, height: 800 })
      if (path === '/open/obligations' && await cut()) problems.push(`${at}: the lines of the register go beyond a screen of 1280`)
      const lines = await tab.evaluate(() => new Set([...document.querySelectorAll('.govuk-service-navigation__item')].map((e) => e.offsetTop)).size)
      if (lines > 1) problems.push(`${at}: the menu has ${lines} lines on a screen of 1280`)
      if ((await tab.content()).includes('⟦')) problems.push(`${at}: a message is missing`)
    }
    await tab.goto(side.URL + '/sign-in/link?code=' + side.Code)
    await tab.keyboard.press('Tab')
    for (let i = 0; i < 20 && !(await tab.evaluate(() => document.activeElement.matches('main button'))); i++) await tab.keyboard.press('Tab')
    await tab.keyboard.press('Enter')
    await tab.waitForURL('**/home')
    await tab.goto(side.URL + '/records/purpose')
    await look('/records/purpose', 'cy')
    await tab.check('input[value=case]')
    await tab.click('main button')
    for (const lang of ['en', 'cy']) {
      for (const path of [...side.Pages, ...(side.Fail || [])]) await look(path, lang)
    }
    if (side.Pages.includes(record)) {
      at = record
      await tab.goto(side.URL + record + '?lang=en')
      const shown = await tab.locator('[data-value="/applicant/name"]').textContent()
      if (shown !== hostile) problems.push(`a hostile text is shown as ${shown}`)
    }
    await context.close()
  }))
  return { Pages: pages, Problems: problems }
}
