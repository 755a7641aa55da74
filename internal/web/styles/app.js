// The pages work without this. It moves the focus to errors, counts characters and
// folds the menu on a small screen.
import { initAll } from './govuk-frontend.min.js'
document.body.classList.add('js-enabled', 'govuk-frontend-supported')
initAll()
