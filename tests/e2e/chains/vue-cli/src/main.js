document.body.textContent = 'A front end.';
