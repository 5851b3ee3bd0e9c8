export default () => 'A front end.';
