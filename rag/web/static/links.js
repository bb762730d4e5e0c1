// The secret of a link stands behind the #: it never leaves the browser as part of an address. It goes into the form,
// out of the address bar and the history, and from there to us.
"use strict";
const secret = location.hash.slice(1);
if (secret) {
  history.replaceState(null, "", location.pathname);
  document.getElementById("link").value = secret;
  document.getElementById("link-form").submit();
}
