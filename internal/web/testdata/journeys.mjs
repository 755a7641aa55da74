// Five journeys, each by the keyboard alone and without JavaScript: pages are turned by
// links and forms that have the focus, and what is typed goes where the focus is.
export default async function (first, input) {
  const { north, south, files, downloads } = JSON.parse(input)
  const browser = first.context().browser()
  const problems = []
  const said = []

  // person opens a browser for somebody.
  const person = async (url) => {
    const context = await browser.newContext({ javaScriptEnabled: false, acceptDownloads: true })
    const page = await context.newPage()
    page.on('dialog', (d) => { problems.push('a dialog opened'); d.dismiss() })
    page.on('console', (m) => { if (m.type() === 'error' && !/status of 4/.test(m.text())) problems.push(`${page.url()}: ${m.text()}`) })
    let choose // what to choose, of a page that asks for a file
    page.on('filechooser', (c) => c.setFiles(choose.path).then(choose.done, choose.failed))
    // press presses Tab, and says whether the focus is where it should be, and seen there.
    const press = async (selector, words) => {
      await page.keyboard.press('Tab')
      return page.evaluate(({ selector, words }) => {
        const e = document.activeElement
        if (!e || !e.matches(selector) || words && !e.textContent.includes(words)) return ''
        const s = getComputedStyle(e)
        return s.outlineStyle !== 'none' || s.boxShadow !== 'none' || s.backgroundColor === 'rgb(255, 221, 0)' || e.matches('[type=checkbox],[type=radio]') ? 'seen' : 'unseen'
      }, { selector, words })
    }
    let fresh = false // whether nothing of the page had the focus yet
    page.on('framenavigated', (f) => { fresh = !f.url().endsWith('#main-content') })
    // reach presses Tab until the focus is where it should be, and fails when it never is.
    // On a new page it takes the link past the menu.
    const reach = async (selector, words) => {
      if (fresh && !selector.startsWith('nav')) {
        if (!(await press('.govuk-skip-link'))) throw new Error(`${page.url()}: the first Tab does not reach the link past the menu`)
        await page.keyboard.press('Enter')
      }
      fresh = false
      for (let i = 0; i < 150; i++) {
        const found = await press(selector, words)
        if (found === 'unseen') problems.push(`${page.url()}: the focus is not seen on ${selector}`)
        if (found) return
      }
      throw new Error(`${page.url()}: the keyboard does not reach ${selector} ${words || ''}`)
    }
    const turn = async (press) => { await Promise.all([page.waitForNavigation(), press()]) }
    const p = {
      page, reach,
      go: (path) => page.goto(url + path),
      main: () => page.locator('main').innerText(),
      follow: async (words) => { await reach('main a', words); await turn(() => page.keyboard.press('Enter')) },
      menu: async (words) => { await reach('nav a', words); await turn(() => page.keyboard.press('Enter')) },
      send: async (words) => { await reach('main button', words); await turn(() => page.keyboard.press('Enter')) },
      type: async (name, words) => { await reach(`[name="${name}"]`); await page.keyboard.press('ControlOrMeta+a'); await page.keyboard.insertText(words) },
      tick: async (selector) => { await reach(selector); await page.keyboard.press('Space') },
      pick: async (name, words) => {
        await reach(`select[name="${name}"]`)
        await page.keyboard.type(words)
        const got = await page.evaluate(() => document.activeElement.selectedOptions[0].text)
        if (!got.startsWith(words)) throw new Error(`the list ${name} stands at ${got}, not ${words}`)
      },
      file: async (path) => {
        await reach('input[type=file]')
        const chosen = new Promise((done, failed) => { choose = { path, done, failed } })
        await page.keyboard.press('Space')
        await chosen
      },
      download: async (words, to) => {
        await reach('main a', words)
        const [d] = await Promise.all([page.waitForEvent('download', { timeout: 5000 }), page.keyboard.press('Enter')]).catch(async () => { throw new Error(`${page.url()} sends no file: ${await p.main()}`) })
        await d.saveAs(to)
      },
      want: async (words) => { if (!(await p.main()).includes(words)) throw new Error(`${page.url()} does not say “${words}” but:\n${(await p.main()).slice(0, 1500)}`) },
      signIn: async (code) => { await p.go('/sign-in/link?code=' + code); await p.send('Sign in'); await page.waitForURL('**/home') },
      close: () => context.close(),
    }
    return p
  }

  // 1. First set-up: somebody with every role finds the steps, tells each council of the
  // other, and makes a key for a system.
  const n = await person(north.URL)
  await n.signIn(north.Code)
  await n.follow('Set up this node')
  await n.want('of 7 done')
  const begun = (await n.main()).match(/(\d) of 7 done/)[1]
  await n.follow('Join a directory, or add a partner to yours')
  await n.download('Download our own member file', downloads + '/northmoor.yaml')
  await n.file(files.bad)
  await n.send('Add the council')
  await n.want('There is a problem')
  await n.file(files.saltby)
  await n.send('Add the council')
  await n.want('The council is added')
  await n.want('saltby.gov.uk')
  await n.menu('Home')
  await n.follow('Set up this node')
  if ((await n.main()).match(/(\d) of 7 done/)[1] <= begun) throw new Error('a step that was done is not counted')
  said.push('set-up')

  // 2. An import with errors, which are mended and brought again.
  await n.follow('Take in the first records')
  await n.pick('standard', 'Housing')
  await n.file(files.wrong)
  await n.send()
  await n.want('HN-WRONG')
  await n.want('moved_to')
  await n.download('Download the rows to mend', downloads + '/to-mend.ndjson')
  await n.send('Take')
  await n.want('records')
  await n.menu('Imports')
  await n.pick('standard', 'Housing')
  await n.file(files.mended)
  await n.send()
  if ((await n.main()).includes('HN-WRONG')) throw new Error('what was mended is refused still')
  await n.send('Take')
  // A list of services in somebody else's form is seen to be one. Its council is asked for.
  await n.menu('Imports')
  await n.pick('standard', 'Service')
  await n.file(files.services)
  await n.send()
  await n.want('Which form the file is in')
  await n.want('/council')
  await n.pick('form', 'Open')
  await n.type('set-0', 'E07000998')
  await n.send('Check again in this form')
  await n.want('/status (/status)')
  await n.send('Take')
  await n.want('The records are taken in')
  said.push('import')

  // 3. An agreement is drafted, previewed and signed at one side, and signed at the other.
  await n.menu('Agreements')
  await n.follow('Draft an agreement')
  await n.type('name', 'moving')
  await n.pick('to', 'saltby')
  await n.pick('standard', 'Housing')
  await n.send('Continue')
  const words = 'Said in plain words, for a test.'
  const parts = [
    [['purpose', words], ['necessity', words]],
    [['rows', 'record.moved_to == "E07000999"'], ['data_items', words]],
    [], // nothing may be passed on
    [['lawful_basis-article_6', '6(1)(e)'], ['lawful_basis-legal_power', words], ['dpia', words]],
    [['contacts-northmoor.gov.uk', 'dpo@northmoor.gov.uk'], ['contacts-saltby.gov.uk', 'dpo@saltby.gov.uk']],
    [['rights_contact', words], ['accuracy', words]],
    [['retention', 'P2Y'], ['disposal', words], ['security', words]],
    [['starts', '2026-01-01'], ['review', '2096-01-01'], ['exit', words]],
  ]
  for (let i = 0; i < parts.length; i++) {
    for (let j = 0; j <= i; j++) await n.reach('main .govuk-task-list a')
    await Promise.all([n.page.waitForNavigation(), n.page.keyboard.press('Enter')])
    if (i === 1) { // the fields that leave are boxes to tick
      await n.type('rows', parts[1][0][1])
      await n.tick('input[name="fields"]:not(:checked)')
      await n.type('data_items', parts[1][1][1])
    } else {
      if (i === 4) for (const c of ['northmoor.gov.uk', 'saltby.gov.uk']) await n.pick('roles-' + c, 'Controller')
      for (const [name, value] of parts[i]) await n.type(name, value)
    }
    await n.send()
    await n.want('This part is kept')
  }
  await n.want('8 of 8 done')
  await n.follow('See what would leave')
  await n.want('What would leave')
  await n.tick('#sure')
  await n.send('Sign')
  await n.want('The council has signed')

  const s = await person(south.URL)
  await s.signIn(south.Code)
  await s.menu('Councils')
  await s.file(downloads + '/northmoor.yaml')
  await s.send('Add the council')
  await s.want('northmoor.gov.uk')
  const until = async (p, path, words) => {
    for (let i = 0; i < 600; i++) {
      await p.go(path)
      if ((await p.main()).includes(words)) return
      await new Promise((r) => setTimeout(r, 50))
    }
    await p.want(words)
  }
  await until(s, '/home', 'Check and sign northmoor.gov.uk/moving')
  await s.follow('Check and sign northmoor.gov.uk/moving')
  await s.follow('Check before you sign')
  await s.tick('#sure')
  await s.send('Sign')
  await s.want('The council has signed')
  await until(n, '/home', 'In step')
  said.push('agreement')

  // 4. Why a partner lacks a record.
  await n.menu('Records')
  await n.reach('input[name=why]')
  await n.page.keyboard.press('Space')
  await n.send('Continue')
  await n.pick('standard', 'Housing')
  await n.type('reference', 'HN-STAYS')
  await n.send('Filter')
  await n.want('HN-STAYS')
  await n.pick('partner', 'saltby')
  await n.send()
  await n.want('Does not have it')
  await n.want('moved_to')
  said.push('why')

  // 5. Anybody takes the proof of an agreement from the register and verifies it.
  const anybody = await person(north.URL)
  await anybody.go('/')
  await until(anybody, '/register', words)
  await anybody.follow(words)
  await anybody.download('Download the proof', downloads + '/proof.stile')
  await anybody.menu('Verify')
  await anybody.file(downloads + '/proof.stile')
  await anybody.send()
  await anybody.want('No check failed')
  said.push('verify')
  const ok = await anybody.main()
  await anybody.menu('Verify')
  await anybody.file(files.forged)
  await anybody.send()
  if ((await anybody.main()) === ok) throw new Error('an altered file is verified as the good one is')
  for (const p of [n, s, anybody]) await p.close()
  return { Said: said, Problems: problems }
}
